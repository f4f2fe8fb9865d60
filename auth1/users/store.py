"""The statements of users."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import NamedTuple

import asyncpg
import msgspec

from auth1.core.ids import new_id
from auth1.core.postgres import Postgres, Transaction
from auth1.errors import Conflict, FieldError, NotFound, ValidationFailed
from auth1.events.log import EventContext, RecordedEvent, read_events
from auth1.identifiers import IdentifierType
from auth1.row_keys import IdentifierKey, UserKey
from auth1.sessions import store as sessions
from auth1.users import metadata, statements
from auth1.users.metadata import Metadata
from auth1.users.schemas import UserOut

RECENT = 5000  # users that are searched for frequent values without the index
BANNED, IDENTIFIER_CHANGED = "banned", "identifier_changed"  # reasons for ended sessions
_end_sessions = partial(sessions.end_user_sessions, has_event=False)  # the event of the change has the reason


class Row(NamedTuple):
    """A user to create, checked: identifiers are normalised and by type, metadata are JSON."""

    id: str
    identifiers: dict[IdentifierType, str]
    external_id: str | None
    metadata: str
    user_metadata: str
    created_at: datetime | None
    banned_until: datetime | None
    ban_reason: str | None
    unverified_phone: str | None = None
    unverified_email: str | None = None
    stored_phone: str | None = None  # the phone as an export shows it, where today's rules change or reject it
    rejected: str | None = None  # why this user cannot be created: today's rules reject a phone of it


class Owners(NamedTuple):
    """The users that own identifiers and external ids, and the external ids of these users."""

    of_identifiers: dict[str, str]
    of_external_ids: dict[str, str]
    external_ids: dict[str, str | None]


class PrefixMatch(NamedTuple):
    """A prefix match: its text, and whether it is an external id."""

    text: str
    kind: int
    user_id: str


class Changes(NamedTuple):
    """Changes of a user; None means unchanged. `identifiers` are by type; null removes one."""

    identifiers: dict[IdentifierType, str | None]
    external_id: str | msgspec.UnsetType | None
    metadata: Metadata | None
    user_metadata: Metadata | None

    def names(self, types: Collection[str]) -> list[str]:
        """Return the names of the changed fields, with the types of changed identifiers."""
        names = sorted(types, reverse=True)
        names += ["external_id"] if self.external_id is not msgspec.UNSET else []
        names += ["metadata"] if self.metadata is not None else []
        return names + (["user_metadata"] if self.user_metadata is not None else [])


class ChangedUser(NamedTuple):
    """A committed change: its events, the ended sessions, and the live sessions of the changed user."""

    events: list[RecordedEvent]
    ended: list[str]
    stale: list[str]


class ConcurrentUpdate(Exception):
    """Another transaction changed the same rows; read again."""


async def lock_account(transaction: Transaction, tenant_id: str, user_id: str) -> None:
    """Lock the set of a user's identifiers until the end of the transaction."""
    await transaction.row(statements.LOCK_ACCOUNT, UserKey(tenant_id, user_id))


async def list_users(postgres: Postgres, tenant_id: str, before: str, limit: int) -> list[UserOut]:
    return [
        _user(row) for row in await postgres.rows(statements.LIST_USERS, statements.ListUsers(tenant_id, before, limit))
    ]


async def export_users(postgres: Postgres, tenant_id: str, after: str, limit: int) -> list[UserOut]:
    return [
        _user(row)
        for row in await postgres.rows(statements.EXPORT_USERS, statements.ExportUsers(tenant_id, after, limit))
    ]


async def get_users(postgres: Postgres, tenant_id: str, ids: Sequence[str]) -> list[UserOut]:
    """Return the users with some ids, in the order of the ids, without erased users."""
    rows = await postgres.rows(statements.FIND_USERS, statements.FindUsers(tenant_id, list(ids)))
    found = {row.id: _user(row) for row in rows}
    return [found[user_id] for user_id in ids if user_id in found]


async def find_by_identifier(postgres: Postgres, tenant_id: str, identifier: str) -> list[str]:
    params = IdentifierKey(tenant_id, identifier)
    return [row.id for row in await postgres.rows(statements.FIND_USER_BY_IDENTIFIER, params)]


async def find_by_external_id(postgres: Postgres, tenant_id: str, external_id: str) -> list[str]:
    params = statements.FindUserByExternalId(tenant_id, external_id)
    return [row.id for row in await postgres.rows(statements.FIND_USER_BY_EXTERNAL_ID, params)]


async def find_by_prefix(
    postgres: Postgres, tenant_id: str, identifier: str, external_id: str, after: tuple[str, int], limit: int
) -> list[PrefixMatch]:
    """Return users by a prefix of phone, email or external id, each once, in the order of the matches."""
    last = "\U0010ffff"  # above every character that may be in one of them
    ranges = (identifier, identifier + last, external_id, external_id + last)
    rows = await postgres.rows(
        statements.FIND_USERS_BY_PREFIX, statements.FindUsersByPrefix(tenant_id, *ranges, *after, limit)
    )
    return [PrefixMatch(*row) for row in rows]


async def find_by_metadata(postgres: Postgres, tenant_id: str, wanted: str, before: str, limit: int) -> list[str]:
    """Return users by a value in their metadata, newest first. Frequent values are searched among the newest users."""
    recent = await postgres.row(
        statements.FIND_RECENT_USERS_BY_METADATA,
        statements.FindRecentUsersByMetadata(tenant_id, wanted, before, RECENT, limit),
    )
    if recent is not None and (len(recent.ids) == limit or recent.looked < RECENT):
        return list(recent.ids)
    rows = await postgres.rows(
        statements.FIND_USERS_BY_METADATA, statements.FindUsersByMetadata(tenant_id, wanted, before, limit)
    )
    return [row.id for row in rows]


async def find_owners(transaction: Transaction, tenant_id: str, users: Sequence[Row]) -> Owners:
    """Lock the identifiers of new users, and return the owners of these identifiers and external ids."""
    identifiers = {identifier for user in users for identifier in user.identifiers.values()}
    identifiers |= {user.stored_phone for user in users if user.stored_phone is not None}
    external_ids = [user.external_id for user in users if user.external_id is not None]
    rows = await transaction.rows(
        statements.LOCK_OWNERS, statements.LockOwners(tenant_id, list(identifiers), external_ids)
    )
    owned = [row for row in rows if row.user_id is not None]
    return Owners(
        {row.name: row.user_id for row in owned if not row.is_external},
        {row.name: row.user_id for row in owned if row.is_external},
        {row.user_id: row.external_id for row in owned},
    )


async def create_users(
    transaction: Transaction, tenant_id: str, users: Sequence[Row], event_id: str | None, context: EventContext
) -> list[RecordedEvent]:
    """Create users with free identifiers and external ids. Raises ConcurrentUpdate: then roll back."""
    owned = [(user.id, *one) for user in users for one in user.identifiers.items()]
    params = statements.CreateUsers(
        tenant_id=tenant_id,
        ids=[user.id for user in users],
        external_ids=[user.external_id for user in users],
        metadata=[user.metadata for user in users],
        user_metadata=[user.user_metadata for user in users],
        created_at=[user.created_at for user in users],
        banned_until=[user.banned_until for user in users],
        ban_reasons=[user.ban_reason for user in users],
        unverified_phones=[user.unverified_phone for user in users],
        unverified_emails=[user.unverified_email for user in users],
        owner_ids=[user_id for user_id, _, _ in owned],
        identifiers=[identifier for _, _, identifier in owned],
        types=[identifier_type for _, identifier_type, _ in owned],
        event_id=event_id,
        **context._asdict(),
    )
    try:
        row = await transaction.row(statements.CREATE_USERS, params)
    except asyncpg.UniqueViolationError:
        raise ConcurrentUpdate from None
    if row is None or row.claimed < len(owned):
        raise ConcurrentUpdate
    return read_events(row.events)


async def update_user(
    postgres: Postgres, tenant_id: str, user_id: str, changes: Changes, context: EventContext
) -> ChangedUser:
    """Change a user under its lock. Raises NotFound, Conflict, ValidationFailed."""

    async def work(transaction: Transaction) -> ChangedUser:
        gets, loses = await _lock_identifiers(transaction, tenant_id, user_id, changes)
        user = await transaction.row(statements.LOCK_USER, UserKey(tenant_id, user_id))
        if user is None:
            raise NotFound  # the rollback removes the rows that were inserted for their locks
        params = statements.UpdateUser(
            tenant_id=tenant_id,
            user_id=user_id,
            metadata=metadata.merge("metadata", _object(user.metadata), changes.metadata or {}),
            user_metadata=metadata.merge("user_metadata", _object(user.user_metadata), changes.user_metadata or {}),
            external_id=user.external_id if changes.external_id is msgspec.UNSET else changes.external_id,
            gets=list(gets),
            loses=list(loses),
            event_id=new_id("evt"),
            **context._asdict(),
            changed=changes.names({*gets.values(), *loses.values()}),
        )
        updated = await transaction.row(statements.UPDATE_USER, params)
        ended: list[str] = []
        if gets or loses:
            ended = (
                await _end_sessions(transaction, tenant_id, user_id, context=context, reason=IDENTIFIER_CHANGED)
            ).sessions
        live = await transaction.rows(statements.LIST_LIVE_SESSIONS, UserKey(tenant_id, user_id))
        return ChangedUser(read_events(updated.events if updated else None), ended, [row.id for row in live])

    try:
        return await postgres.in_transaction(work)
    except asyncpg.UniqueViolationError:
        raise Conflict("Another user has this external_id.") from None


async def _lock_identifiers(
    transaction: Transaction, tenant_id: str, user_id: str, changes: Changes
) -> tuple[dict[str, IdentifierType], dict[str, IdentifierType]]:
    """Lock the identifiers of a change; return the added and removed ones with their types."""
    if not changes.identifiers:
        return {}, {}
    await lock_account(transaction, tenant_id, user_id)
    wanted = {value: kind for kind, value in changes.identifiers.items() if value is not None}
    rows = await transaction.rows(
        statements.LOCK_USER_IDENTIFIERS,
        statements.LockUserIdentifiers(tenant_id, user_id, list(wanted), list(wanted.values())),
    )
    for row in rows:
        if row.identifier in wanted and row.user_id not in (None, user_id):
            raise Conflict(f"Another user has this {row.type}.")
    owned = {row.identifier: row.type for row in rows if row.user_id == user_id}
    gets = {value: kind for value, kind in wanted.items() if value not in owned}
    loses = {value: kind for value, kind in owned.items() if kind in changes.identifiers and value not in wanted}
    if owned and len(loses) == len(owned) and not gets:
        field = "phone" if "phone" in changes.identifiers else "email"
        raise ValidationFailed(errors=[FieldError(field, "A user must keep a phone or an email.")])
    await transaction.rows(statements.CANCEL_USER_CHALLENGES, statements.IdentifierList(tenant_id, list(loses)))
    return gets, loses


async def ban_user(
    postgres: Postgres, tenant_id: str, user_id: str, until: datetime | None, reason: str | None, context: EventContext
) -> ChangedUser | None:
    """Ban a user, and end its sessions in a second statement, which sees the sessions of concurrent logins."""

    async def work(transaction: Transaction) -> ChangedUser | None:
        row = await transaction.row(
            statements.BAN_USER, statements.BanUser(tenant_id, user_id, until, reason, new_id("evt"), *context)
        )
        if row is None:
            return None
        ended = await _end_sessions(transaction, tenant_id, user_id, context=context, reason=BANNED)
        return ChangedUser(read_events(row.events), ended.sessions, [])

    return await postgres.in_transaction(work)


async def unban_user(
    postgres: Postgres, tenant_id: str, user_id: str, context: EventContext
) -> list[RecordedEvent] | None:
    """Lift a ban; return its event if the user was banned. None if the user does not exist."""
    row = await postgres.row(statements.UNBAN_USER, statements.UnbanUser(tenant_id, user_id, new_id("evt"), *context))
    return read_events(row.events) if row else None


async def record_import(
    postgres: Postgres, tenant_id: str, context: EventContext, counts: Mapping[str, int]
) -> list[RecordedEvent]:
    """Record the event of an import."""
    text = msgspec.json.encode(counts).decode()
    row = await postgres.row(
        statements.RECORD_IMPORT, statements.RecordImport(tenant_id, new_id("evt"), *context, text)
    )
    return read_events(row.events if row else None)


def _user(row: statements.UserRow) -> UserOut:
    return UserOut(*row[:-2], *(msgspec.Raw(text.encode()) for text in (row.metadata, row.user_metadata)))


_object = msgspec.json.Decoder(Metadata).decode
