"""What a row of an import says, checked: a user to be made, or the reason why not."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from auth1.core import timestamps
from auth1.core.ids import new_id
from auth1.errors import FieldError, ValidationFailed
from auth1.identifiers import IdentifierType, parse_email, parse_phone
from auth1.user_transfer.field_map import FieldMap
from auth1.users import metadata
from auth1.users.schemas import FIRST_YEAR, FOR_GOOD, ExternalId, Reason
from auth1.users.store import Row

_MILLISECONDS_FROM = 100_000_000_000  # as seconds this would be the year 5138
_YES = {"true": True, "t": True, "1": True, "yes": True, "false": False, "f": False, "0": False, "no": False, "": False}


class _Texts(msgspec.Struct):
    external_id: ExternalId | None
    ban_reason: Reason | None


def check(raw: Mapping[str, Any], fields: FieldMap) -> Row:
    """Read a row. Raises ValidationFailed, InvalidPhone or InvalidEmail, which say what is wrong."""
    row = fields.read(raw)
    phone, email = _text(row, "phone"), _text(row, "email")
    identifiers: dict[IdentifierType, str] = {}
    if phone is not None:
        identifiers["phone"] = parse_phone(phone).value
    if email is not None:
        identifiers["email"] = parse_email(email).value
    if not identifiers:
        raise _wrong("phone", "A phone or an email is needed")
    texts = {"external_id": _text(row, "external_id"), "ban_reason": _text(row, "ban_reason")}
    for name, value in texts.items():
        try:
            msgspec.convert({**dict.fromkeys(texts), name: value}, _Texts)
        except msgspec.ValidationError:
            raise _wrong(name, "Too long, or with a character that cannot be") from None
    banned_until = _ban(row)
    return Row(
        id=new_id("usr"),
        identifiers=identifiers,
        external_id=texts["external_id"],
        metadata=metadata.merge("metadata", {}, _object(row, "metadata")),
        user_metadata=metadata.merge("user_metadata", {}, _object(row, "user_metadata")),
        created_at=_moment(row, "created_at"),
        banned_until=banned_until,
        ban_reason=texts["ban_reason"] if banned_until else None,
    )


def _text(row: Mapping[str, Any], name: str) -> str | None:
    value = row.get(name)
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise _wrong(name, "Must be a text")
    return value.strip() or None


def _object(row: Mapping[str, Any], name: str) -> metadata.Metadata:
    """An object, or one written as JSON: the form in which CSV has it."""
    value = row.get(name)
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value) if value.strip() else None
        except (msgspec.DecodeError, RecursionError):
            raise _wrong(name, "Must be a JSON object") from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _wrong(name, "Must be a JSON object")
    return value


def _moment(row: Mapping[str, Any], name: str) -> datetime | None:
    """RFC 3339 or a form close to it, UTC unless it says otherwise; or seconds or milliseconds since 1970."""
    value = row.get(name)
    if value is None or value == "":
        return None
    try:
        if isinstance(value, str) and not value.strip().replace(".", "", 1).isdigit():
            moment = datetime.fromisoformat(value.strip())
            moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        else:
            seconds = math.nan if isinstance(value, bool) else float(value)
            moment = datetime.fromtimestamp(seconds / (1000 if seconds >= _MILLISECONDS_FROM else 1), UTC)
        moment = moment.astimezone(UTC)
    except (ValueError, TypeError, OverflowError, OSError):
        raise _wrong(name, "Must be a moment: 2024-05-01T12:00:00Z, or seconds since 1970") from None
    if name != "banned_until" or moment.year < FOR_GOOD.year:
        timestamps.check(name, moment, first_year=FIRST_YEAR)
    return moment


def _ban(row: Mapping[str, Any]) -> datetime | None:
    until = _moment(row, "banned_until")
    if until is not None and until <= datetime.now(UTC):
        until = None
    if _flag(row, "banned") or _flag(row, "enabled") is False:
        until = until or FOR_GOOD
    return until


def _flag(row: Mapping[str, Any], name: str) -> bool | None:
    value = row.get(name)
    if value is None or isinstance(value, bool):
        return value
    known = _YES.get(str(value).strip().lower())
    if known is None:
        raise _wrong(name, "Must be true or false")
    return known


def _wrong(field: str, message: str) -> ValidationFailed:
    return ValidationFailed(errors=[FieldError(field, message)])
