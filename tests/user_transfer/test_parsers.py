"""Parsers of NDJSON, CSV and JSON: every line has one result, whatever the bytes."""

import io
from collections.abc import Sequence
from contextlib import suppress

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from auth1.errors import ApiError
from auth1.user_transfer import field_map, parsers, validate
from auth1.user_transfer.lines import MAX_ROW_BYTES, Line
from tests.support.cpu import cpu_ratio

OURS = field_map.parse("", None)
FIREBASE = field_map.parse("", "firebase")
FIELDS = (OURS, FIREBASE, field_map.parse("email=email,phone=phone,metadata.plan=plan", None))
PIECES = (
    *(b'"', b",", b"\n", b"\r\n", b"\r", b"\xff", b"\0", b"{", b"}", b"[", b"]", b":", b" ", b"1e400", b"9" * 30),
    *(b"email,phone,metadata\n", b"a@b.co", b"+12025550143", b'{"email": "a@b.co"}', b'"users": [', b"null", b"'=x"),
    *(b'"\\ud800"', b'"\\u0000"', b"\xef\xbb\xbf", "ü\u2028".encode(), b"[" * 200),
)
documents = st.lists(st.sampled_from(PIECES) | st.binary(max_size=8), max_size=30).map(b"".join)


def read(kind: parsers.Format, raw: bytes, fields: field_map.FieldMap = OURS) -> list[Line]:
    return list(parsers.read(kind, io.BytesIO(raw), fields))


def errors(lines: Sequence[Line]) -> list[tuple[int, int]]:
    """Return the first and last line of each error."""
    return [(line.number, max(line.number, line.last)) for line in lines if line.error]


@given(documents, st.sampled_from(("ndjson", "csv", "json")), st.sampled_from(FIELDS))
def test_any_bytes_are_read_without_an_exception(raw: bytes, kind: parsers.Format, fields: field_map.FieldMap) -> None:
    for line in read(kind, raw, fields):
        if line.row is not None:
            with suppress(ApiError):
                validate.check(line.row, fields)


@given(documents)
def test_every_ndjson_line_has_one_result(raw: bytes) -> None:
    assert [line.number for line in read("ndjson", raw)] == list(range(1, 1 + len(list(io.BytesIO(raw)))))


@given(documents)
@example(b'"\n"')
def test_every_csv_line_has_one_result(raw: bytes) -> None:
    lines = read("csv", b"email,phone,metadata\n" + raw)
    text = io.TextIOWrapper(io.BytesIO(raw), encoding="latin-1", newline="")

    covered = [n for line in lines for n in range(line.number, max(line.number, line.last) + 1)]

    assert covered == list(range(2, 2 + len(list(text))))


@given(st.lists(st.fixed_dictionaries({"email": st.emails(), "metadata": st.dictionaries(st.text(), st.text())})))
def test_json_list_is_found_behind_other_lists(rows: list[dict[str, object]]) -> None:
    raw = msgspec.json.encode({"tags": ["[", "{"], "meta": {"lists": [1, [2]]}, "Users": rows, "total": [1]})

    assert [line.row for line in read("json", raw)] == rows


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b'{"a": [{}], "b": [{}]}', "more than one list of objects (a, b)"),
        (b'{"a": 1}', "it has no list"),
        (b'{"email": "a@b.co"}\n{"email": "c@d.co"}', "use the format ndjson"),
        (b"[" * 200, "nested more than 100 levels"),
        (b'[{"a": "' + b"x" * 2_000_000 + b'"}]', "longer than 1048576 bytes"),
    ],
    ids=["two lists", "no list", "ndjson", "deep", "long"],
)
def test_unreadable_json_document_is_reported(raw: bytes, words: str) -> None:
    *_, last = read("json", raw)

    assert words in last.error


def test_json_numbers_keep_their_value() -> None:
    raw = b'[{"a": 12345678901234567890123, "b": 1.5, "c": -0.25, "d": 7}]'

    assert read("json", raw)[0].row == {"a": 12345678901234567890123, "b": 1.5, "c": -0.25, "d": 7}


@pytest.mark.parametrize(
    ("rows", "rejected"),
    [
        (['a@b.co,"1,', "c@d.co,2,", "e@f.co,3,"], [(2, 4)]),
        (['a@b.co,"1,', "c@d.co,2,", 'e@f.co,"3",', "g@h.co,4,"], [(2, 4)]),
        (['a@b.co,"1,', "c@d.co,2,", 'e@f.co,3,"', "g@h.co,4,"], [(2, 4)]),
        (["a@b.co,1,", 'c@d.co,2,"x"y', "e@f.co,3,"], [(3, 3)]),
        (['a@b.co,1,"first line', 'second line"', "c@d.co,2,"], []),
    ],
    ids=["end of file", "quoted cell", "closing quote", "text after quote", "text over two lines"],
)
def test_rows_in_a_stray_quote_are_rejected_by_line(rows: list[str], rejected: list[tuple[int, int]]) -> None:
    raw = "\n".join(["email,external_id,ban_reason", *rows, ""]).encode()

    assert errors(read("csv", raw)) == rejected


def test_long_stray_quote_ends_the_file_with_all_lines_counted() -> None:
    rows = [f"{n}@example.com,{n},note" for n in range(5000)]
    rows[100] = rows[100].replace(",note", ',"note')
    raw = "\n".join(["email,external_id,ban_reason", *rows]).encode()

    lines = read("csv", raw)

    assert len(raw) > 2 * MAX_ROW_BYTES
    assert errors(lines) == [(102, 5001)]
    assert "A quote may be left open" in lines[-1].error
    assert sum(line.row is not None for line in lines) == 100


@pytest.mark.parametrize(
    ("header", "names", "words"),
    [
        ("email,email", "", "occur twice: email"),
        ("a@b.co,1", "email=email", "looks like a row"),
        ("mail,name", "email=email", "none of the columns"),
        ("phone;email", "", "Unknown columns: phone;email"),
    ],
)
def test_csv_without_a_usable_header_is_rejected_as_a_whole(header: str, names: str, words: str) -> None:
    (line,) = read("csv", f"{header}\nc@d.co,2\n".encode(), field_map.parse(names, None))

    assert words in line.error
    assert (line.number, line.last) == (1, 2)


def test_first_row_of_a_firebase_csv_without_header_is_read() -> None:
    row = ["uid1", "a@b.co", "true", "", "", "Ada", *[""] * 17, "1697706753123", "1697706753123", "", "", "", ""]
    raw = (",".join(row) + "\n").encode() * 2

    users = [validate.check(line.row, FIREBASE) for line in read("csv", raw, FIREBASE) if line.row]

    assert [(user.external_id, user.identifiers) for user in users] == [("uid1", {"email": "a@b.co"})] * 2


@pytest.mark.parametrize(
    "hostile",
    [b"a@" + b"." * 8000 + b"@\n", b'email,phone\n"' + b"\n" * 8000, b"a," * 30_000 + b"\n"],
    ids=["long cell of a header", "lines in a stray quote", "columns"],
)
def test_hostile_csv_costs_no_more_than_its_size(hostile: bytes) -> None:
    """One of 64 KiB took minutes, in which the worker answered no other request."""
    row = b"ada@example.com,1\n"
    harmless = b"email,external_id\n" + row * (len(hostile) // len(row))

    assert cpu_ratio(lambda raw: read("csv", raw), hostile, harmless) < 50
