"""Find users by one filter at a time, each with its own index."""

import base64
import binascii
from typing import Annotated

import msgspec
from msgspec import structs

from auth1.core import stored_json
from auth1.core.http.pagination import INVALID_CURSOR, PageQuery
from auth1.core.http.request import Request
from auth1.errors import FieldError, InvalidPhone, ValidationFailed
from auth1.identifiers import is_e164, parse_identifier
from auth1.services import Services
from auth1.tenants.settings import TenantAdmin
from auth1.users import metadata, store
from auth1.users.schemas import UserPage

MAX_TEXT = 255
FILTERS = ("phone", "email", "external_id", "q", "metadata")
MAX_CURSOR = 1400  # a text of 255 characters, in UTF-8 and base64


class UserQuery(PageQuery):
    """The query of a search: at most one of the filters."""

    cursor: Annotated[
        str, msgspec.Meta(max_length=MAX_CURSOR, description="The `next_cursor` of the previous page.")
    ] = ""
    phone: Annotated[str, msgspec.Meta(max_length=MAX_TEXT, description="The exact phone number.")] | None = None
    email: Annotated[str, msgspec.Meta(max_length=MAX_TEXT, description="The exact email address.")] | None = None
    external_id: Annotated[str, msgspec.Meta(max_length=MAX_TEXT, description="The exact external_id.")] | None = None
    q: (
        Annotated[str, msgspec.Meta(max_length=MAX_TEXT, description="How a phone, email or external_id begins.")]
        | None
    ) = None
    metadata: Annotated[str, msgspec.Meta(description='Metadata to match: {"plan":"pro"}')] | None = None


async def search(app: Services, request: Request[TenantAdmin], query: UserQuery) -> UserPage:
    """Find users. Raises ValidationFailed, InvalidPhone, InvalidEmail."""
    tenant_id = request.caller.tenant_id
    name, text = _filter(query)
    if name is None:
        users = await store.list_users(app.postgres, tenant_id, query.cursor, query.rows)
        return UserPage(*query.split(users, lambda user: user.user_id))
    if name == "q":
        prefix = _with_plus(text)
        after = _read_cursor(query.cursor)
        found = await store.find_by_prefix(app.postgres, tenant_id, prefix.lower(), prefix, after, query.rows)
        shown, cursor = query.split(found, _cursor)
        return UserPage(await store.get_users(app.postgres, tenant_id, [one.user_id for one in shown]), cursor)
    if name == "metadata":
        like = _metadata(text)
        ids = await store.find_by_metadata(app.postgres, tenant_id, like, query.cursor, query.rows)
    elif name == "external_id":
        ids = await store.find_by_external_id(app.postgres, tenant_id, text)
    else:
        ids = await _find_by_identifier(app, tenant_id, name, _with_plus(text))
    shown_ids, cursor = query.split(ids, str)
    return UserPage(await store.get_users(app.postgres, tenant_id, shown_ids), cursor)


async def _find_by_identifier(app: Services, tenant_id: str, kind: str, text: str) -> list[str]:
    """Find a phone or email in today's form, or else a phone exactly as it is stored."""
    values: list[str] = []
    rejected = None
    try:
        values.append(parse_identifier(**{"phone": None, "email": None, kind: text}).value)
    except InvalidPhone as error:
        rejected = error
    if is_e164(text) and text not in values:
        values.append(text)
    for value in values:
        if ids := await store.find_by_identifier(app.postgres, tenant_id, value):
            return ids
    if rejected is not None:
        raise rejected
    return []


def _filter(query: UserQuery) -> tuple[str | None, str]:
    given = [(name, text) for name, text in structs.asdict(query).items() if name in FILTERS and text is not None]
    if len(given) > 1:
        raise ValidationFailed(errors=[FieldError(given[1][0], f"Cannot be combined with {given[0][0]}.")])
    if not given:
        return None, ""
    name, text = given[0]
    # An empty value, such as an unset variable, must not match all users.
    if name != "metadata" and (not text or not text.isprintable()):
        raise ValidationFailed(errors=[FieldError(name, f"Must be 1 to {MAX_TEXT} printable characters.")])
    return name, text


def _with_plus(text: str) -> str:
    """Return a text with its plus: one that was not percent-encoded arrives as a space."""
    return "+" + text[1:] if text[:1] == " " else text


def _metadata(text: str) -> str:
    try:
        like = msgspec.json.decode(text, type=metadata.Metadata)
        says_anything = metadata.has_value(like)
    except (msgspec.DecodeError, RecursionError):
        raise ValidationFailed(
            errors=[FieldError("metadata", 'Must be a JSON object, such as {"plan":"pro"}.')]
        ) from None
    if not says_anything:
        raise ValidationFailed(errors=[FieldError("metadata", "Must name at least one value.")])
    return stored_json.check("metadata", like).decode()


def _cursor(found: store.PrefixMatch) -> str:
    return base64.urlsafe_b64encode(f"{found.kind}{found.text}".encode()).decode().rstrip("=")


def _read_cursor(cursor: str) -> tuple[str, int]:
    """Return the end of the previous page: a text, and whether it is an external id."""
    if not cursor:
        return "", 0
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, ValueError):
        text = ""
    if text[:1] not in ("0", "1") or not text[1:].isprintable():
        raise ValidationFailed(errors=[FieldError("cursor", INVALID_CURSOR)])
    return text[1:], int(text[0])
