"""Line types by prefix: the longest match decides, and a bad file is named by line and reason."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auth1.fraud.datasets.files import BadLine
from auth1.fraud.line_types import prefixes
from auth1.fraud.line_types.prefixes import Prefixes, compile_prefixes
from auth1.fraud.line_types.types import LINE_TYPES
from auth1.fraud.policy import LineType

# Few digits, so that prefixes contain each other and numbers meet them.
DIGITS = st.text("12", min_size=1, max_size=15)
FILES = st.dictionaries(DIGITS, st.sampled_from(LINE_TYPES[:4]), max_size=40)


def longest_match(types: dict[str, LineType], phone: str) -> LineType | None:
    """Find the line type of the longest prefix, one length after the other."""
    digits = phone.removeprefix("+")
    return next((types[digits[:end]] for end in range(len(digits), 0, -1) if digits[:end] in types), None)


def compiled(*lines: str) -> Prefixes:
    return Prefixes(compile_prefixes(lines)[1])


@settings(max_examples=300)
@given(FILES, st.lists(DIGITS, min_size=1, max_size=30))
def test_longest_prefix_decides(types: dict[str, LineType], numbers: list[str]) -> None:
    count, data = compile_prefixes([f"{prefix},{line_type}" for prefix, line_type in types.items()])
    loaded = Prefixes(data)

    assert count == len(types)
    assert len(loaded) <= 2 * len(types)
    for number in [*numbers, *types]:
        assert loaded.find(f"+{number}") == longest_match(types, number)


def test_longer_prefix_replaces_the_type_of_a_shorter_one() -> None:
    loaded = compiled("44,mobile", "4456,nonFixedVoip", "+4,landline")

    found = [loaded.find(phone) for phone in ("+445612345678", "+447912345678", "+4912345678", "+33612345678")]

    assert found == ["nonFixedVoip", "mobile", "landline", None]


def test_prefix_longer_than_the_number_does_not_match() -> None:
    loaded = compiled("441632960000,pager")

    assert loaded.find("+44163296000") is None
    assert loaded.find("+441632960000") == "pager"


def test_header_comments_empty_lines_and_spaces_are_accepted() -> None:
    count, data = compile_prefixes(["prefix,line_type\r\n", "# United Kingdom\n", "\n", " +4479 , mobile \r\n"])

    assert count == 1
    assert Prefixes(data).find("+447912345678") == "mobile"


def test_repeated_prefix_with_the_same_type_counts_once() -> None:
    assert compile_prefixes(["44,mobile", "+44,mobile"])[0] == 1


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("44", "must be prefix,line_type, such as 4475,mobile"),
        ("44,mobile,x", "must be prefix,line_type"),
        ("044,mobile", "must be prefix,line_type"),
        ("4" * 16 + ",mobile", "must be prefix,line_type"),
        ("\uff14\uff14,mobile", "must be prefix,line_type"),
        ("44\x00,mobile", "must be prefix,line_type"),
        ("44,m\u043ebile", "must be prefix,line_type"),
        ("44,voip", "voip is no line type; use one of landline, mobile, fixedVoip, nonFixedVoip"),
        ("33,mobile", "the prefix has another line type on an earlier line"),
    ],
)
def test_bad_line_is_named_with_its_reason(line: str, problem: str) -> None:
    with pytest.raises(BadLine) as error:
        compile_prefixes(["33,landline\n", "\n", f"{line}\n"])

    assert str(error.value).startswith(f"line 3: {problem}")


def test_file_above_the_maximum_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefixes, "MAX_PREFIXES", 3)

    with pytest.raises(BadLine, match="line 4: a file may have 3 prefixes at most"):
        compile_prefixes(f"{number},mobile" for number in range(10, 20))


@pytest.mark.parametrize("data", [b"\x01\x00\x00\x00", b"\x00\x00\x00\x00\x00", b"\x00"])
def test_other_bytes_are_rejected(data: bytes) -> None:
    with pytest.raises(ValueError, match="not compiled prefixes"):
        Prefixes(data)


def test_compiled_prefix_takes_at_most_18_bytes() -> None:
    count, data = compile_prefixes(f"{1_000_000 + 2 * number},mobile" for number in range(50_000))

    assert count == 50_000
    assert len(data) <= 18 * count + 4
