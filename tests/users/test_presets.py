"""Exports of other products, in the forms that their documentation gives."""

import io
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from auth1.errors import ApiError, ValidationFailed
from auth1.user_transfer import field_map, parsers, validate
from auth1.users.schemas import FOR_GOOD
from auth1.users.store import Row

SAMPLES = Path(__file__).parent / "samples"
ADA = datetime(2023, 10, 19, 9, 12, 33, 123000, UTC)
BOB = datetime(2024, 2, 29, 23, 59, 59, 999000, UTC)


def read(name: str, preset: str | None, more: str = "") -> tuple[list[Row], list[int]]:
    """The users of a sample, and the lines of those that cannot be users."""
    kind: parsers.Format = {"ndjson": "ndjson", "csv": "csv", "json": "json"}[name.rpartition(".")[2]]  # type: ignore[assignment]
    fields = field_map.parse(more, preset)
    users, rejected = [], []
    with (SAMPLES / name).open("rb") as file:
        for line in parsers.read(kind, file):
            assert line.row is not None, line.wrong
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
            FOR_GOOD,
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
            22,
            FOR_GOOD,
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
            28,
            FOR_GOOD,
        ),
    ],
)
def test_an_export_of_another_product_is_read(
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
    assert wrong == [rejected], "who has neither phone nor email is named by line"


def test_cognito_s_own_csv_is_read() -> None:
    (ada, bob), wrong = read("cognito.csv", "cognito", "metadata.plan=custom:plan")

    assert [ada.external_id, bob.external_id] == ["ada", "bob"]
    assert msgspec.json.decode(ada.metadata) == {"plan": "pro"}
    assert wrong == [4]


@pytest.mark.parametrize("text", ["phone", "phone=", "=x", "name=x", "metadata.=x", "email.a=x", "phone=a,,b"])
def test_a_map_that_maps_nothing_of_ours_is_refused(text: str) -> None:
    with pytest.raises(ValidationFailed):
        field_map.parse(text, None)


def test_a_list_of_objects_is_read_whatever_its_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = msgspec.json.encode({"count": 300, "users": [{"n": n, "text": "]},{ü" * (n % 50)} for n in range(300)]})
    for size in (1, 7, 64 * 1024):
        monkeypatch.setattr(parsers, "_PIECE", size)
        assert [line.row["n"] for line in parsers.read("json", io.BytesIO(raw)) if line.row] == list(range(300))


@pytest.mark.parametrize(
    "raw", [b"", b"nothing", b'{"users": [{"a": 1}', b'[{"a": 1}, {"a": \xff}]', b'[{"a": 1}, {"a": oops}]', b'["a", 1']
)
def test_a_document_that_breaks_off_is_told(raw: bytes) -> None:
    *_, last = parsers.read("json", io.BytesIO(raw))

    assert last.row is None
    assert "From here on" in last.wrong


def test_a_list_of_names_may_hold_anything() -> None:
    fields = field_map.parse("", "cognito")
    named = [{"Name": [], "Value": 1}, {"Name": 7, "Value": 1}, {"Value": 1}, 1, {"Name": "email", "Value": "a@b.co"}]

    assert validate.check({"Attributes": named}, fields).identifiers == {"email": "a@b.co"}


@pytest.mark.parametrize("text", ["phone=" + "|".join("z" * 51), "phone=" + ".".join("z" * 11)], ids=["wide", "deep"])
def test_a_map_cannot_name_more_places_than_are_worth_looking_at(text: str) -> None:
    with pytest.raises(ValidationFailed):
        field_map.parse(text, None)


def test_a_row_cannot_have_more_fields_than_are_worth_looking_through() -> None:
    row = {"email": "a@b.co", **{str(n): 1 for n in range(field_map.MAX_NAMES)}}

    with pytest.raises(ValidationFailed) as refused:
        validate.check(row, field_map.parse("email=email", None))

    assert "more than 500 fields" in refused.value.errors[0].message
