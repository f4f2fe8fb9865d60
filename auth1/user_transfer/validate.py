"""Check one row of an import: return a user to create, or raise an error that says why not."""

import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from auth1.core.ids import new_id
from auth1.errors import FieldError, InvalidPhone, ValidationFailed
from auth1.identifiers import Identifier, IdentifierType, is_e164, parse_email, parse_phone
from auth1.user_transfer.dates import parse_timestamp
from auth1.user_transfer.field_map import FieldMap
from auth1.users import metadata
from auth1.users.schemas import PERMANENT, ExternalId, Reason
from auth1.users.store import Row

_FLAGS = {"true": True, "t": True, "1": True, "yes": True, "false": False, "f": False, "0": False, "no": False}
_PARSERS: dict[IdentifierType, Callable[[str], Identifier]] = {"phone": parse_phone, "email": parse_email}
_ROUNDED = re.compile(r"[0-9](?:\.[0-9]+)?[Ee]\+[0-9]+")  # how a spreadsheet shows a long number


class _Texts(msgspec.Struct):
    external_id: ExternalId | None
    ban_reason: Reason | None


def check(raw: Mapping[str, Any], fields: FieldMap, *, trust_unverified: bool = False) -> Row:
    """Return the user of a row. Raises ValidationFailed, InvalidPhone or InvalidEmail.

    An unverified phone or email becomes profile data, not a login: its owner has never proven it.
    """
    row = fields.read(raw)
    identifiers: dict[IdentifierType, str] = {}
    unverified: dict[IdentifierType, str] = {}
    stored_phone = rejected = None
    for name in _PARSERS:
        value, unproven = _text(row, name), _text(row, f"unverified_{name}")
        if value is None and trust_unverified:
            value, unproven = unproven, None
        if value is not None and (trust_unverified or _is_verified(row, fields, name)):
            identifiers[name], reason = _parse(name, value)
            rejected = rejected or reason
            if is_e164(value) and (reason or identifiers[name] != value):
                stored_phone = value
        elif value is not None:
            unproven = value
        if unproven is not None:
            unverified[name], reason = _parse(name, unproven)
            rejected = rejected or reason
    external_id = _external_id(row)
    if not identifiers and (external_id is None or not unverified):
        raise _error(next(iter(unverified), "phone"), _missing(unverified))
    banned_until = _ban(row)
    reason = _converted("ban_reason", _text(row, "ban_reason"))
    return Row(
        id=new_id("usr"),
        identifiers=identifiers,
        external_id=external_id,
        metadata=_metadata(row, "metadata"),
        user_metadata=_metadata(row, "user_metadata"),
        created_at=_created_at(row),
        banned_until=banned_until,
        ban_reason=reason if banned_until else None,
        unverified_phone=unverified.get("phone"),
        unverified_email=unverified.get("email"),
        stored_phone=stored_phone,
        rejected=rejected,
    )


def _parse(name: IdentifierType, text: str) -> tuple[str, str | None]:
    """Return a phone or email, and why today's rules reject it. Only a stored number may be rejected by them.

    Raises InvalidPhone for a text that can be no phone, and InvalidEmail.
    """
    try:
        return _PARSERS[name](text).value, None
    except InvalidPhone as error:
        if not is_e164(text):
            raise
        return text, error.detail


def _missing(unverified: Mapping[IdentifierType, str]) -> str:
    if unverified:
        return "Must be verified, or the row must have an external_id."
    return "A phone or an email is required."


def _is_verified(row: Mapping[str, Any], fields: FieldMap, name: str) -> bool:
    """Read a flag, or the time of the verification. A flag without a value means unverified."""
    flag = f"{name}_verified"
    if flag not in row:
        return name in fields.verified_by_default
    value = row[flag]
    if value is None or (isinstance(value, str) and not value.strip()):
        return False
    if isinstance(value, str) and value.strip()[:4].isdigit() and "-" in value:
        return parse_timestamp(flag, value) is not None
    return bool(_flag(row, flag))


def _text(row: Mapping[str, Any], name: str) -> str | None:
    """Return a text without blanks around it, which no phone, email or reason has."""
    value = row.get(name)
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**40:
        value = str(value)
    if not isinstance(value, str):
        raise _error(name, "Must be a string.")
    return value.strip() or None


def _external_id(row: Mapping[str, Any]) -> str | None:
    """Return the external id exactly as it is. An application would not find an id that was changed."""
    trimmed = _text(row, "external_id")
    value = row.get("external_id")
    if value is None or value == "":
        return None
    if isinstance(value, str) and (value != trimmed or any(map(_is_invisible, (value[0], value[-1])))):
        raise _error("external_id", "Must not begin or end with a blank or an invisible character.")
    if trimmed is not None and _ROUNDED.fullmatch(trimmed):
        raise _error("external_id", "Must not be a number that a spreadsheet has rounded, such as 1.23E+17.")
    return _converted("external_id", trimmed)


def _is_invisible(character: str) -> bool:
    return unicodedata.category(character) in ("Zs", "Zl", "Zp", "Cf")


def _converted(name: str, value: str | None) -> str | None:
    if value is None:
        return None
    try:
        msgspec.convert({"external_id": None, "ban_reason": None, name: value}, _Texts)
    except msgspec.ValidationError:
        limit = 255 if name == "external_id" else 500
        raise _error(name, f"Must be 1 to {limit} characters without control characters.") from None
    return value


def _metadata(row: Mapping[str, Any], name: str) -> str:
    return "{}" if row.get(name) in (None, "") else metadata.merge(name, {}, _object(row, name))


def _object(row: Mapping[str, Any], name: str) -> metadata.Metadata:
    """Return an object, or one that is written as JSON: its form in CSV."""
    value = row.get(name)
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value) if value.strip() else None
        except (msgspec.DecodeError, RecursionError):
            raise _error(name, "Must be a JSON object.") from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _error(name, "Must be a JSON object.")
    return value


def _created_at(row: Mapping[str, Any]) -> datetime | None:
    created_at = parse_timestamp("created_at", row.get("created_at"))
    if created_at is not None and created_at > datetime.now(UTC) + timedelta(days=1):
        raise _error("created_at", "Must not be in the future.")
    return created_at


def _ban(row: Mapping[str, Any]) -> datetime | None:
    until = parse_timestamp("banned_until", row.get("banned_until"))
    if until is not None and until <= datetime.now(UTC):
        until = None
    if _flag(row, "banned") or _flag(row, "enabled") is False:
        until = until or PERMANENT
    return until


def _flag(row: Mapping[str, Any], name: str) -> bool | None:
    value = row.get(name)
    if value is None or isinstance(value, bool):
        return value
    text = str(value).strip().lower() if isinstance(value, str) or value in (0, 1) else "?"
    if not text:
        return None
    if text not in _FLAGS:
        raise _error(name, "Must be true or false.")
    return _FLAGS[text]


def _error(field: str, message: str) -> ValidationFailed:
    return ValidationFailed(errors=[FieldError(field, message)])
