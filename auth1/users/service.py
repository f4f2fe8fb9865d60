"""Operations on one user. Each is committed with its event, logged, and published to all workers."""

from collections.abc import Sequence
from functools import partial

import msgspec

from auth1.core import timestamps
from auth1.core.ids import new_id
from auth1.core.postgres import Transaction
from auth1.errors import Conflict, FieldError, InvalidPhone, NotFound, ValidationFailed
from auth1.events.log import RecordedEvent, log_events
from auth1.identifiers import IdentifierType, parse_email, parse_phone
from auth1.services import Services
from auth1.sessions.store import list_just_ended
from auth1.tenants.settings import TenantAdmin
from auth1.users import erase, export, metadata, store
from auth1.users.schemas import FIRST_YEAR, PERMANENT, Ban, UserExport, UserIn, UserOut, UserPatch

MAX_RETRIES = 5  # after concurrent updates


async def get_user(app: Services, manager: TenantAdmin, user_id: str) -> UserOut:
    """Return a user. Raises NotFound."""
    found = await store.get_users(app.postgres, manager.tenant_id, [user_id])
    if not found:
        raise NotFound
    return found[0]


async def create_user(app: Services, manager: TenantAdmin, wanted: UserIn) -> UserOut:
    """Create a user. Raises Conflict when a user has its phone, email or external id."""
    if wanted.created_at is not None:
        timestamps.check("created_at", wanted.created_at, first_year=FIRST_YEAR)
    user = store.Row(
        id=new_id("usr"),
        identifiers=await _identifiers(app, manager, wanted),
        external_id=wanted.external_id,
        metadata=metadata.merge("metadata", {}, wanted.metadata),
        user_metadata=metadata.merge("user_metadata", {}, wanted.user_metadata),
        created_at=wanted.created_at,
        banned_until=None,
        ban_reason=None,
    )
    for _ in range(MAX_RETRIES):
        try:
            events = await app.postgres.in_transaction(partial(_create, manager, user))
            break
        except store.ConcurrentUpdate:
            continue
    else:
        raise Conflict("The user is being created by another request; retry.")
    log_events(app.log, events)
    return await get_user(app, manager, user.id)


async def update_user(app: Services, manager: TenantAdmin, user_id: str, patch: UserPatch) -> UserOut:
    """Change a user; a changed phone or email ends its sessions. Raises NotFound, Conflict, ValidationFailed."""
    identifiers: dict[IdentifierType, str | None] = {}
    if patch.phone is not msgspec.UNSET:
        identifiers["phone"] = await _phone(app, manager, patch.phone, user_id) if patch.phone is not None else None
    if patch.email is not msgspec.UNSET:
        identifiers["email"] = parse_email(patch.email).value if patch.email is not None else None
    changes = store.Changes(
        identifiers,
        patch.external_id,
        None if patch.metadata is msgspec.UNSET else patch.metadata,
        None if patch.user_metadata is msgspec.UNSET else patch.user_metadata,
    )
    if not (identifiers or changes.names(())):
        return await get_user(app, manager, user_id)
    changed = await store.update_user(app.postgres, manager.tenant_id, user_id, changes, manager.context)
    log_events(app.log, changed.events)
    await _end_everywhere(app, manager, user_id, changed.ended)
    await app.sessions.invalidate(manager.tenant_id, changed.stale)
    return await get_user(app, manager, user_id)


async def ban_user(app: Services, manager: TenantAdmin, user_id: str, ban: Ban) -> UserOut:
    """Ban a user and revoke its sessions on every worker. Raises NotFound, ValidationFailed."""
    until = ban.until
    if until is not None and until >= PERMANENT:
        until = None
    if until is not None:
        timestamps.require_future("until", until)
    changed = await store.ban_user(app.postgres, manager.tenant_id, user_id, until, ban.reason, manager.context)
    if changed is None:
        raise NotFound
    log_events(app.log, changed.events)
    await _end_everywhere(app, manager, user_id, changed.ended)
    return await get_user(app, manager, user_id)


async def unban_user(app: Services, manager: TenantAdmin, user_id: str) -> UserOut:
    """Let a user log in again. Raises NotFound."""
    events = await store.unban_user(app.postgres, manager.tenant_id, user_id, manager.context)
    if events is None:
        raise NotFound
    log_events(app.log, events)
    return await get_user(app, manager, user_id)


async def erase_user(app: Services, manager: TenantAdmin, user_id: str) -> None:
    """Erase a user with all challenges and messages. Raises NotFound, Unavailable.

    A user that erases its own account gets no new budget of sends.
    """
    own = manager.actor == user_id
    on_uncertain_commit = partial(app.sessions.invalidate, manager.tenant_id)
    erased = await erase.erase_user(
        app.postgres, manager.tenant_id, user_id, manager.context, on_uncertain_commit, keep_budgets=own
    )
    if erased is None:
        raise NotFound
    log_events(app.log, erased.events)
    if erased.has_changed_lists:
        await app.tenants.publish_invalidation(manager.tenant_id)
    await app.sessions.revoke(manager.tenant_id, erased.sessions)


async def export_user(app: Services, manager: TenantAdmin, user_id: str) -> UserExport:
    """Return all data of a user. Raises NotFound."""
    return await export.export_user(app.postgres, manager.tenant_id, await get_user(app, manager, user_id))


async def _phone(app: Services, manager: TenantAdmin, text: str, user_id: str | None = None) -> str:
    """Return a phone in today's form. One that a user of the tenant has stays as it is. Raises InvalidPhone."""
    value, rejected = None, InvalidPhone()
    try:
        value = parse_phone(text).value
    except InvalidPhone as error:
        rejected = error
    if value != text and await _has_phone(app, manager, text, user_id):
        return text
    if value is None:
        raise rejected
    return value


async def _has_phone(app: Services, manager: TenantAdmin, phone: str, user_id: str | None) -> bool:
    """Return whether a user of the tenant has a phone, or the named user has it unverified."""
    if await store.find_by_identifier(app.postgres, manager.tenant_id, phone):
        return True
    users = await store.get_users(app.postgres, manager.tenant_id, [user_id] if user_id is not None else [])
    return any(phone == user.unverified_phone for user in users)


async def _create(manager: TenantAdmin, user: store.Row, transaction: Transaction) -> list[RecordedEvent]:
    _check_owners(user, await store.find_owners(transaction, manager.tenant_id, [user]))
    return await store.create_users(transaction, manager.tenant_id, [user], new_id("evt"), manager.context)


async def _end_everywhere(app: Services, manager: TenantAdmin, user_id: str, ended: Sequence[str]) -> None:
    ended = ended or await list_just_ended(app.postgres, manager.tenant_id, user_id)
    await app.sessions.revoke(manager.tenant_id, ended)


async def _identifiers(app: Services, manager: TenantAdmin, wanted: UserIn) -> dict[IdentifierType, str]:
    if wanted.phone is None and wanted.email is None:
        raise ValidationFailed(errors=[FieldError("phone", "A phone or an email is required.")])
    identifiers: dict[IdentifierType, str] = {}
    if wanted.phone is not None:
        identifiers["phone"] = await _phone(app, manager, wanted.phone)
    if wanted.email is not None:
        identifiers["email"] = parse_email(wanted.email).value
    return identifiers


def _check_owners(user: store.Row, owners: store.Owners) -> None:
    taken: set[str] = {kind for kind, value in user.identifiers.items() if value in owners.of_identifiers}
    taken |= {"external_id"} if owners.of_external_ids else set()
    if taken:
        errors = [
            FieldError(name, "Another user has it.") for name in ("phone", "email", "external_id") if name in taken
        ]
        raise Conflict("A user with this phone, email or external_id already exists.", errors=errors)
