"""Exports of other products in their documented formats."""

import io
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from auth1.errors import ApiError, ValidationFailed
from auth1.user_transfer import field_map, parsers, validate
from auth1.users.schemas import PERMANENT
from auth1.users.store import Row

OURS = field_map.parse("", None)
SAMPLES = Path(__file__).parent / "samples"
ADA = datetime(2023, 10, 19, 9, 12, 33, 123000, UTC)
BOB = datetime(2024, 2, 29, 23, 59, 59, 999000, UTC)


def read(name: str, preset: str | None, more: str = "") -> tuple[list[Row], list[int]]:
    """Return the users of a sample, and the lines that were rejected."""
    kind: parsers.Format = {"ndjson": "ndjson", "csv": "csv", "json": "json"}[name.rpartition(".")[2]]  # type: ignore[assignment]
    fields = field_map.parse(more, preset)
    users, rejected = [], []
    with (SAMPLES / name).open("rb") as file:
        for line in parsers.read(kind, file, fields):
            assert line.row is not None, line.error
            try:
                users.append(validate.check(line.row, fields))
            except ApiError:
                rejected.append(line.number)
    return users, rejected


@pytest.mark.parametrize(
    ("name", "external_ids", "metadata", "user_metadata", "rejected", "banned"),
    [
        (
            "auth0.ndjson",
            ["auth0|6530f0c1a2", "sms|6530f0c1a3"],
            {"plan": "pro"},
            {"theme": "dark", "name": "Ada Example"},
            3,
            PERMANENT,
        ),
        (
            "auth0.csv",
            ["auth0|6530f0c1a2", "sms|6530f0c1a3"],
            {"plan": "pro"},
            {"theme": "dark", "name": "Ada Example"},
            4,
            None,
        ),
        (
            "firebase.json",
            ["Xk2p9fQ0aRb", "Zz81hLm3tUv"],
            {"plan": "pro"},
            {"name": 'Ada "the first" Example', "picture": "https://example.com/ada.png"},
            3,
            PERMANENT,
        ),
        (
            "supabase.csv",
            ["7d0f5a1e-0c4b-4f43-8d58-2f2f7f1d0a11", "8e1f6b2f-1d5c-4054-9e69-3030802e1b22"],
            {"plan": "pro", "provider": "email"},
            {"name": "Ada Example"},
            4,
            datetime(2999, 1, 1, tzinfo=UTC),
        ),
        (
            "cognito.json",
            ["eaad0219-2117-439f-8d46-4db20e59268f", "fbbe1320-3228-44a0-9e57-5ec31f6a3790"],
            {"plan": "pro"},
            {"name": "Ada Example"},
            3,
            PERMANENT,
        ),
    ],
)
def test_export_of_each_product_is_read(
    name: str,
    external_ids: list[str],
    metadata: dict[str, str],
    user_metadata: dict[str, str],
    rejected: int,
    banned: datetime | None,
) -> None:
    preset = name.partition(".")[0]
    (ada, bob), wrong = read(name, preset, "metadata.plan=custom:plan" if preset == "cognito" else "")

    assert (ada.identifiers, bob.identifiers) == ({"email": "ada@example.com"}, {"phone": "+12025550143"})
    assert [ada.external_id, bob.external_id] == external_ids
    assert msgspec.json.decode(ada.metadata) == metadata
    assert msgspec.json.decode(ada.user_metadata) == user_metadata
    assert ada.created_at is not None
    assert abs(ada.created_at - ADA).total_seconds() < 0.001
    assert bob.created_at == BOB
    assert (ada.banned_until, bob.banned_until) == (None, banned)
    assert wrong == [rejected], "a row with neither phone nor email is named by line"


def test_cognito_csv_is_read() -> None:
    (ada, bob), wrong = read("cognito.csv", "cognito", "metadata.plan=custom:plan")

    assert [ada.external_id, bob.external_id] == ["ada", "bob"]
    assert msgspec.json.decode(ada.metadata) == {"plan": "pro"}
    assert wrong == [4]


@pytest.mark.parametrize("text", ["phone", "phone=", "=x", "name=x", "metadata.=x", "email.a=x", "phone=a,,b"])
def test_map_without_known_field_is_rejected(text: str) -> None:
    with pytest.raises(ValidationFailed):
        field_map.parse(text, None)


def test_json_list_is_read_across_buffer_boundaries() -> None:
    rows = [{"n": n, "text": "]},{ü" * (n % 50)} for n in range(3000)]
    raw = msgspec.json.encode({"count": 3000, "tags": ["x"], "users": rows})

    assert [line.row for line in parsers.read("json", io.BytesIO(raw), OURS)] == rows


@pytest.mark.parametrize(
    "raw", [b"", b"nothing", b'{"users": [{"a": 1}', b'[{"a": 1}, {"a": \xff}]', b'[{"a": 1}, {"a": oops}]', b'["a", 1']
)
def test_truncated_json_document_is_reported(raw: bytes) -> None:
    *_, last = parsers.read("json", io.BytesIO(raw), OURS)

    assert last.row is None
    assert "Cannot be read from here on" in last.error


def test_invalid_items_of_an_attribute_list_are_ignored() -> None:
    fields = field_map.parse("", "cognito")
    named = [{"Name": [], "Value": 1}, {"Name": 7, "Value": 1}, {"Value": 1}, 1, {"Name": "email", "Value": "a@b.co"}]
    named.append({"Name": "email_verified", "Value": "true"})

    assert validate.check({"Attributes": named}, fields).identifiers == {"email": "a@b.co"}


@pytest.mark.parametrize("text", ["phone=" + "|".join("z" * 51), "phone=" + ".".join("z" * 11)], ids=["wide", "deep"])
def test_map_is_limited_in_sources_and_depth(text: str) -> None:
    with pytest.raises(ValidationFailed):
        field_map.parse(text, None)


def test_row_is_limited_in_fields() -> None:
    row = {"email": "a@b.co", **{str(n): 1 for n in range(field_map.MAX_NAMES)}}

    with pytest.raises(ValidationFailed) as rejected:
        validate.check(row, field_map.parse("email=email", None))

    assert "more than 500 fields" in rejected.value.errors[0].message
