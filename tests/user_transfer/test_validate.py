"""One row: verified flags, dates with one meaning, and ids that stay as they are."""

from datetime import UTC, datetime
from typing import Any

import pytest

from auth1.errors import ValidationFailed
from auth1.user_transfer import field_map, validate
from auth1.user_transfer.dates import parse_timestamp

PHONE, EMAIL = "+12025550143", "ada@example.com"
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("preset", "row", "verified"),
    [
        (None, {}, {"phone", "email"}),
        (None, {"email_verified": False}, {"phone"}),
        (None, {"email_verified": ""}, {"phone"}),
        (None, {"phone_verified": "false", "email_verified": "TRUE"}, {"email"}),
        ("auth0", {}, set()),
        ("auth0", {"email_verified": True, "phone_verified": None}, {"email"}),
        ("cognito", {}, set()),
        ("cognito", {"email_verified": "false", "phone_number_verified": "true"}, {"phone"}),
        ("firebase", {"emailVerified": False}, {"phone"}),
        ("firebase", {"emailVerified": True}, {"phone", "email"}),
        ("supabase", {"email_confirmed_at": "2023-10-19 09:12:33.1+00", "phone_confirmed_at": ""}, {"email"}),
        ("supabase", {"email_confirmed_at": None, "phone_confirmed_at": "2023-10-19T09:12:33Z"}, {"phone"}),
    ],
)
def test_flag_of_each_product_decides_what_is_a_login(
    preset: str | None, row: dict[str, Any], verified: set[str]
) -> None:
    names = {"auth0": ("user_id", "phone_number"), "cognito": ("Username", "phone_number")}
    names |= {"firebase": ("localId", "phoneNumber"), "supabase": ("id", "phone")}
    external_id, phone = names.get(preset or "", ("external_id", "phone"))
    fields = field_map.parse("", preset)

    user = validate.check({external_id: "1", phone: PHONE, "email": EMAIL, **row}, fields)

    assert user.identifiers == {name: {"phone": PHONE, "email": EMAIL}[name] for name in sorted(verified, reverse=True)}
    assert (user.unverified_phone is None, user.unverified_email is None) == ("phone" in verified, "email" in verified)
    trusted = validate.check({external_id: "1", phone: PHONE, "email": EMAIL, **row}, fields, trust_unverified=True)
    assert trusted.identifiers == {"phone": PHONE, "email": EMAIL}
    assert (trusted.unverified_phone, trusted.unverified_email) == (None, None)


def test_map_reads_known_flags_that_it_does_not_name() -> None:
    fields = field_map.parse("email=mail,external_id=id", None)

    user = validate.check({"mail": EMAIL, "id": "1", "emailVerified": False}, fields)

    assert (user.identifiers, user.unverified_email) == ({}, EMAIL)


def test_unverified_user_without_external_id_is_rejected() -> None:
    with pytest.raises(ValidationFailed) as rejected:
        validate.check({"email": EMAIL, "email_verified": False}, field_map.parse("", None))

    [error] = rejected.value.errors
    assert error.field == "email"
    assert "Must be verified, or the row must have an external_id" in error.message


@pytest.mark.parametrize(
    "value",
    [
        *("2024-05-01T12:00:00Z", "2024-05-01 12:00:00+00", "2024-05-01T14:00:00.000+02:00", "20240501T120000Z"),
        *("2024-05-01T12:00", "2024-05-01t12:00:00z", "1714564800", "1714564800000", " 1714564800.0 "),
        *(1714564800, 1714564800.0, 1714564800000),
    ],
)
def test_timestamp_with_one_meaning_is_read(value: object) -> None:
    assert parse_timestamp("created_at", value) == NOON


@pytest.mark.parametrize(
    "value",
    [
        *("20240501", "45413", "45413.5", "0", "1", "2024050112", "202405011200", "20240501120000", "1.7E+09", "-1"),
        *("05/01/2024", "1.5.2024", "2024-W18-3", "2024-122", "yesterday", "1714564800000000", "2024-13-01", "NaN"),
        *(20240501, 45413, 0, -1, 1e300, True, [], {}),
    ],
)
def test_ambiguous_timestamp_is_rejected(value: object) -> None:
    with pytest.raises(ValidationFailed):
        parse_timestamp("created_at", value)


@pytest.mark.parametrize("value", [" 7", "7 ", "\u00a07", "7\u200b", "\t7", " ", "1.23457E+17", "a\nb"])
def test_external_id_is_not_changed_but_rejected(value: str) -> None:
    with pytest.raises(ValidationFailed) as rejected:
        validate.check({"email": EMAIL, "external_id": value}, field_map.parse("", None))

    assert rejected.value.errors[0].field == "external_id"


def test_blanks_around_phone_and_email_are_trimmed() -> None:
    user = validate.check({"email": f" {EMAIL} ", "phone": f"{PHONE} "}, field_map.parse("", None))

    assert user.identifiers == {"phone": PHONE, "email": EMAIL}


def test_creation_in_the_future_is_rejected() -> None:
    with pytest.raises(ValidationFailed):
        validate.check({"email": EMAIL, "created_at": "2999-01-01T00:00:00Z"}, field_map.parse("", None))
