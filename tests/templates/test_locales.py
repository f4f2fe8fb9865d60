"""Language tags: Accept-Language, and the fallback."""

import pytest

from auth1.templates.locales import find, parse_accept_language

KNOWN = {"en", "es", "fr", "de", "pt", "it"}


@pytest.mark.parametrize(
    ("header", "tags"),
    [
        ("de", ["de"]),
        ("fr-CH, fr;q=0.9, en;q=0.8, *;q=0.5", ["fr-CH", "fr", "en"]),
        ("en;q=0.1,de;q=1.000, it ; q=0.5", ["de", "it", "en"]),
        ("de;q=0, fr", ["fr"]),
        ("es,es", ["es", "es"]),
        ("", []),
        ("*", []),
        ("de;q=2, de;q=x, ;;, <script>, pt_BR, \x00", []),
        ("it" + ",fr" * 5000, ["it"] + ["fr"] * 19),
    ],
)
def test_tags_are_sorted_by_weight_and_malformed_ranges_ignored(header: str, tags: list[str]) -> None:
    assert parse_accept_language(header) == tags


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        (["pt-BR"], "pt"),
        (["ja", "fr-CA"], "fr"),
        (["ja"], "en"),
        ([], "en"),
        ([None, "IT"], "it"),
    ],
)
def test_language_is_found_by_its_prefix(tags: list[str | None], found: str) -> None:
    assert find(KNOWN, *tags) == found


def test_header_full_of_space_is_parsed_in_linear_time() -> None:
    # With backtracking this would take minutes.
    assert parse_accept_language("en" + " " * 300_000 + "x") == []
