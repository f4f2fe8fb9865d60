"""Validation and normalization of phones and emails."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth1.errors import InvalidEmail, InvalidPhone, ValidationFailed
from auth1.fraud.line_types.types import type_by_phonenumbers
from auth1.identifiers import parse_email, parse_identifier, parse_phone


def test_documented_example_number_is_accepted() -> None:
    identifier = parse_phone("+15551234567")

    assert identifier.value == "+15551234567"
    assert identifier.country == "US"
    assert identifier.masked == "+1•••••••567"
    assert identifier.block == "+15551234"


@pytest.mark.parametrize(
    "text",
    [
        "15551234567",
        "+1 555 123 4567",
        "+1555\x001234567",
        "+15551234567\n",
        "\u202a+15551234567",
        "+\uff11\uff15\uff15\uff15\uff11\uff12\uff13\uff14\uff15\uff16\uff17",
        "tel:+15551234567",
        "+15551234567;ext=1",
        "+1555FLOWERS",
        "+1",
        "+1555",
        "+15551234567890123",
        "+0123456789",
        "",
        "++15551234567",
    ],
)
def test_number_not_in_e164_format_is_rejected(text: str) -> None:
    with pytest.raises(InvalidPhone):
        parse_phone(text)


@pytest.mark.parametrize(
    "text",
    [
        "+19005550123",
        "+8816123456789",
        "+870773111632",
        "+88213000000",
        "+979123456789",
        "+80012345678",
        "+80812345678",
    ],
)
def test_premium_satellite_and_non_geographic_numbers_are_rejected(text: str) -> None:
    with pytest.raises(InvalidPhone):
        parse_phone(text)


@pytest.mark.parametrize("text", ["+49112", "+1911", "+44999"])
def test_emergency_numbers_are_rejected(text: str) -> None:
    with pytest.raises(InvalidPhone):
        parse_phone(text)


def test_line_types_are_read_from_the_numbering_plan() -> None:
    assert type_by_phonenumbers(parse_phone("+445600123456").line) == "nonFixedVoip"
    assert type_by_phonenumbers(parse_phone("+447000123456").line) == "personal"
    assert type_by_phonenumbers(parse_phone("+18005550199").line) == "tollFree"
    assert type_by_phonenumbers(parse_phone("+15551234567").line) == "unknown"
    assert type_by_phonenumbers(parse_phone("+447400123456").line) == "mobile"


@given(st.text(max_size=40))
def test_any_text_is_a_canonical_number_or_rejected(text: str) -> None:
    try:
        identifier = parse_phone(text)
    except InvalidPhone:
        return
    assert parse_phone(identifier.value) == identifier
    assert identifier.value.isascii()


def test_email_is_normalized_and_masked() -> None:
    assert parse_email("Some.One+Tag@Example.COM").value == "some.one+tag@example.com"
    assert parse_email("a@b.co").masked == "a•••@b.co"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "a@",
        "@b.co",
        "a@b",
        "a@b..co",
        "a@-b.co",
        "a b@c.co",
        "a@b.co\r\nBcc: c@d.co",
        "a..b@c.co",
        ".a@c.co",
        '"a"@c.co',
        "a@[127.0.0.1]",
        "a@127.0.0.1",
        "\u0430@b.co",
        "a@b\uff0eco",
        "a@b.co\x00",
        "x" * 65 + "@b.co",
        "a@" + "b" * 250 + ".co",
    ],
)
def test_invalid_email_is_rejected(text: str) -> None:
    with pytest.raises(InvalidEmail):
        parse_email(text)


def test_exactly_one_identifier_is_required() -> None:
    for phone, email in ((None, None), ("+15551234567", "a@b.co")):
        with pytest.raises(ValidationFailed):
            parse_identifier(phone=phone, email=email)
