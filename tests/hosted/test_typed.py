"""Phone numbers, emails and codes as people type them."""

import pytest

from auth1.errors import InvalidEmail, InvalidPhone
from auth1.hosted.typed import countries_of, read_code, read_identifier, shown_number
from auth1.identifiers import Channel, parse_phone
from auth1.tenants.settings import TenantSettings


@pytest.mark.parametrize(
    ("text", "countries", "value", "is_guess"),
    [
        ("+1 (202) 555-0123", [], "+12025550123", False),
        ("0044 20 7946 0958", [], "+442079460958", False),
        ("202-555-0123", ["US"], "+12025550123", True),
        ("(0151) 23456789", ["US", "DE"], "+4915123456789", True),
        ("06 12 34 56 78", ["FR"], "+33612345678", True),
        ("٠٦ ١٢ ٣٤ ٥٦ ٧٨", ["FR"], "+33612345678", True),
        ("\u202d+1\u00a0202\u2011555\u20110123\u202c", [], "+12025550123", False),
        (" Ada@Example.com ", [], "ada@example.com", False),
    ],
)
def test_identifier_is_read_as_it_is_written(text: str, countries: list[str], value: str, is_guess: bool) -> None:
    typed = read_identifier(text, None, countries)

    assert (typed.identifier.value, typed.needs_confirmation) == (value, is_guess)


@pytest.mark.parametrize(
    ("text", "channel", "countries"),
    [
        ("", None, ["US"]),
        ("+", None, []),
        ("tel:+12025550123", None, ["US"]),
        ("+12025550123;ext=1", None, []),
        ("1+2025550123", None, ["US"]),
        ("2025550123", None, []),
        ("12", None, ["US"]),
        ("112", None, ["DE"]),
        ("ada@example.com", "sms", ["US"]),
        ("9" * 400, None, ["US"]),
        ("\x00", None, ["US"]),
    ],
)
def test_text_that_is_no_phone_is_rejected(text: str, channel: Channel | None, countries: list[str]) -> None:
    with pytest.raises(InvalidPhone):
        read_identifier(text, channel, countries)


@pytest.mark.parametrize("text", ["@", "a@b", "202-555-0123", "ada@exämple.com"])
def test_text_that_is_no_email_is_rejected_where_only_an_email_is_accepted(text: str) -> None:
    with pytest.raises(InvalidEmail):
        read_identifier(text, "email", ["US"])


def test_countries_follow_the_browser_then_the_tenant() -> None:
    settings = TenantSettings(default_locale="pt-PT")

    assert countries_of(settings, ["de-CH", "fr", "en", "xx", "zh-Hant-TW"]) == ["CH", "FR", "US", "TW", "PT"]


def test_countries_are_limited_to_those_of_the_tenant() -> None:
    settings = TenantSettings(allowed_countries=("CA", "US"))

    assert countries_of(settings, ["de", "en-US"]) == ["US", "CA"]


@pytest.mark.parametrize("text", ["123456", " 123 456", "123-456", "１２３４５６", "١٢٣٤٥٦"])
def test_code_is_read_with_separators_and_digits_of_any_script(text: str) -> None:
    assert read_code(text) == "123456"


def test_other_characters_of_a_code_stay() -> None:
    assert read_code("12a456\x00") == "12a456\x00"


def test_number_is_shown_in_the_international_form() -> None:
    assert shown_number(parse_phone("+12025550123")) == "+1 202-555-0123"
