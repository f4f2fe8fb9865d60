"""Which language a reader is written to in."""

import pytest

from auth1.messaging.locales import accepted, find

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
def test_the_most_wanted_language_comes_first_and_nonsense_is_passed_over(header: str, tags: list[str]) -> None:
    assert accepted(header) == tags


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
def test_a_language_is_found_by_what_it_is_a_part_of(tags: list[str | None], found: str) -> None:
    assert find(KNOWN, *tags) == found


def test_a_header_full_of_space_is_read_at_once() -> None:
    # Anybody may send one. If all divisions of the space were tried, this would take minutes.
    assert accepted("en" + " " * 300_000 + "x") == []
