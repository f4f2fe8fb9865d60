"""SQL of users, by name."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import asyncpg
import msgspec

from auth1.core.ids import new_id
from auth1.core.postgres import Postgres, Queries, Transaction
from auth1.errors import Conflict, FieldError, NotFound, ValidationFailed
from auth1.identifiers import IdentifierType
from auth1.sessions import store as sessions
from auth1.users import metadata
from auth1.users.metadata import Metadata
from auth1.users.schemas import (
    KeptChallenge,
    KeptEvent,
    KeptIdentifier,
    KeptMessage,
    KeptSession,
    Person,
    UserOut,
)

_QUERIES = Queries("users")
RECENT = 5000  # users among whom what many have is found without its index
KEPT = 1000  # rows of a kind that a person is shown
BANNED, IDENTIFIER_CHANGED = "banned", "identifier_changed"  # reasons for which sessions end


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


class Owners(NamedTuple):
    """Who has an identifier, who has an external id, and which external id those have."""

    of_identifiers: dict[str, str]
    of_external_ids: dict[str, str]
    external_ids: dict[str, str | None]


class Found(NamedTuple):
    """Where a prefix was found: the text, and whether that is an external id."""

    text: str
    kind: int
    user_id: str


class Changes(NamedTuple):
    """What is to change of a user; None where nothing. `identifiers` by type: null takes that away."""

    identifiers: dict[IdentifierType, str | None]
    external_id: str | msgspec.UnsetType | None
    metadata: Metadata | None
    user_metadata: Metadata | None

    def names(self, types: Collection[str]) -> list[str]:
        """Name what changes, with the types of the identifiers that do."""
        names = sorted(types, reverse=True)
        names += ["external_id"] if self.external_id is not msgspec.UNSET else []
        names += ["metadata"] if self.metadata is not None else []
        return names + (["user_metadata"] if self.user_metadata is not None else [])


class Changed(NamedTuple):
    """A change that was made: its event, what changed, which sessions it ended, and which go on with a changed user."""

    event_id: str
    names: list[str]
    ended: list[str]
    stale: list[str]


class ConcurrentUpdate(Exception):
    """Another transaction was faster; look again."""


async def lock_account(transaction: Transaction, tenant_id: str, user_id: str) -> None:
    """Lock the set of a user's identifiers until the end of the transaction."""
    await transaction.row(_QUERIES["lock_account"], tenant_id, user_id)


async def list_users(postgres: Postgres, tenant_id: str, before: str, limit: int) -> list[UserOut]:
    return [_user(row) for row in await postgres.rows(_QUERIES["list_users"], tenant_id, before, limit)]


async def export_users(postgres: Postgres, tenant_id: str, after: str, limit: int) -> list[UserOut]:
    return [_user(row) for row in await postgres.rows(_QUERIES["export_users"], tenant_id, after, limit)]


async def get_users(postgres: Postgres, tenant_id: str, ids: Sequence[str]) -> list[UserOut]:
    """The users of some ids, in the order of these; those that are no more are left out."""
    rows = await postgres.rows(_QUERIES["find_users"], tenant_id, ids)
    found = {row["id"]: _user(row) for row in rows}
    return [found[user_id] for user_id in ids if user_id in found]


async def find_by_identifier(postgres: Postgres, tenant_id: str, identifier: str) -> list[str]:
    return [row["id"] for row in await postgres.rows(_QUERIES["find_user_by_identifier"], tenant_id, identifier)]


async def find_by_external_id(postgres: Postgres, tenant_id: str, external_id: str) -> list[str]:
    return [row["id"] for row in await postgres.rows(_QUERIES["find_user_by_external_id"], tenant_id, external_id)]


async def find_by_prefix(
    postgres: Postgres, tenant_id: str, identifier: str, external_id: str, after: tuple[str, int], limit: int
) -> list[Found]:
    """Users of whom something begins so, each once, in the order of what was found."""
    last = "\U0010ffff"  # above every character that may be in one of them
    ranges = (identifier, identifier + last, external_id, external_id + last)
    rows = await postgres.rows(_QUERIES["find_users_by_prefix"], tenant_id, *ranges, *after, limit)
    return [Found(*row) for row in rows]


async def find_by_metadata(postgres: Postgres, tenant_id: str, wanted: str, before: str, limit: int) -> list[str]:
    """Users whose metadata holds something, newest first: among the newest if many have it, else by the index."""
    recent = await postgres.row(_QUERIES["find_recent_users_by_metadata"], tenant_id, wanted, before, RECENT, limit)
    if recent is not None and (len(recent["ids"]) == limit or recent["looked"] < RECENT):
        return list(recent["ids"])
    rows = await postgres.rows(_QUERIES["find_users_by_metadata"], tenant_id, wanted, before, limit)
    return [row["id"] for row in rows]


async def find_owners(transaction: Transaction, tenant_id: str, users: Sequence[Row]) -> Owners:
    """Lock the identifiers of users to be made, and find out who has which of them, or their external ids."""
    identifiers = [identifier for user in users for identifier in user.identifiers.values()]
    external_ids = [user.external_id for user in users if user.external_id is not None]
    rows = await transaction.rows(_QUERIES["hold_owners"], tenant_id, identifiers, external_ids)
    owned = [row for row in rows if row["user_id"] is not None]
    return Owners(
        {row["name"]: row["user_id"] for row in owned if not row["is_external"]},
        {row["name"]: row["user_id"] for row in owned if row["is_external"]},
        {row["user_id"]: row["external_id"] for row in owned},
    )


async def make_users(
    transaction: Transaction, tenant_id: str, users: Sequence[Row], event_id: str | None, actor: str
) -> None:
    """Make users whose identifiers and external ids nobody has. Raises ConcurrentUpdate: then roll back."""
    claims = [(user.id, *one) for user in users for one in user.identifiers.items()]
    columns = [list(column) for column in zip(*(user[:1] + user[2:8] for user in users), strict=True)]
    try:
        row = await transaction.row(
            _QUERIES["make_users"],
            *(tenant_id, *columns),
            [user_id for user_id, _, _ in claims],
            [identifier for _, _, identifier in claims],
            *(event_id, actor),
            [identifier_type for _, identifier_type, _ in claims],
            [user.unverified_phone for user in users],
            [user.unverified_email for user in users],
        )
    except asyncpg.UniqueViolationError:
        raise ConcurrentUpdate from None
    if row is None or row["claimed"] < len(claims):
        raise ConcurrentUpdate


async def update_user(postgres: Postgres, tenant_id: str, user_id: str, changes: Changes, actor: str) -> Changed:
    """Change a user under its lock. Raises NotFound, Conflict, ValidationFailed."""
    event_id = new_id("evt")
    try:
        async with postgres.transaction() as transaction:
            gets, loses = await _hold_identifiers(transaction, tenant_id, user_id, changes)
            held = await transaction.row(_QUERIES["hold_user"], tenant_id, user_id)
            if held is None:
                raise NotFound  # and nothing is kept of the identifiers that were made to be locked
            merged = (
                metadata.merge("metadata", _object(held["metadata"]), changes.metadata or {}),
                metadata.merge("user_metadata", _object(held["user_metadata"]), changes.user_metadata or {}),
            )
            external_id = held["external_id"] if changes.external_id is msgspec.UNSET else changes.external_id
            names = changes.names({*gets.values(), *loses.values()})
            await transaction.row(
                _QUERIES["update_user"],
                *(tenant_id, user_id, *merged, external_id, list(gets), list(loses), event_id, actor, names),
            )
            ended: list[str] = []
            if gets or loses:
                ended = await sessions.end_user_sessions(
                    transaction, tenant_id, user_id, actor=actor, reason=IDENTIFIER_CHANGED
                )
            live = await transaction.rows(_QUERIES["list_live_sessions"], tenant_id, user_id)
            return Changed(event_id, names, ended, [row["id"] for row in live])
    except asyncpg.UniqueViolationError:
        raise Conflict("Another user has this external_id.") from None


async def _hold_identifiers(
    transaction: Transaction, tenant_id: str, user_id: str, changes: Changes
) -> tuple[dict[str, str], dict[str, str]]:
    """Lock the identifiers that a change touches; returns those that the user gets and loses, with their types."""
    if not changes.identifiers:
        return {}, {}
    await lock_account(transaction, tenant_id, user_id)
    wanted = {value: kind for kind, value in changes.identifiers.items() if value is not None}
    rows = await transaction.rows(
        _QUERIES["hold_user_identifiers"], tenant_id, user_id, list(wanted), list(wanted.values())
    )
    for row in rows:
        if row["identifier"] in wanted and row["user_id"] not in (None, user_id):
            raise Conflict(f"Another user has this {row['type']}.")
    owned = {row["identifier"]: row["type"] for row in rows if row["user_id"] == user_id}
    gets: dict[str, str] = {value: kind for value, kind in wanted.items() if value not in owned}
    loses = {value: kind for value, kind in owned.items() if kind in changes.identifiers and value not in wanted}
    if owned and len(loses) == len(owned) and not gets:
        field = "phone" if "phone" in changes.identifiers else "email"
        raise ValidationFailed(errors=[FieldError(field, "A user must keep a phone or an email.")])
    await transaction.rows(_QUERIES["cancel_user_challenges"], tenant_id, list(loses))
    return gets, loses


async def ban_user(
    postgres: Postgres, tenant_id: str, user_id: str, until: datetime | None, reason: str | None, actor: str
) -> Changed | None:
    """Ban a user, and end its sessions in a statement of its own, which sees those of logins that were faster."""
    event_id = new_id("evt")
    async with postgres.transaction() as transaction:
        row = await transaction.row(_QUERIES["ban_user"], tenant_id, user_id, until, reason, event_id, actor)
        if row is None:
            return None
        ended = await sessions.end_user_sessions(transaction, tenant_id, user_id, actor=actor, reason=BANNED)
    return Changed(event_id, [], ended, [])


async def unban_user(postgres: Postgres, tenant_id: str, user_id: str, actor: str) -> tuple[bool, str] | None:
    """Lift a ban; returns whether there was one and the id of the event, None when there is no such user."""
    event_id = new_id("evt")
    row = await postgres.row(_QUERIES["unban_user"], tenant_id, user_id, event_id, actor)
    return (row["changed"], event_id) if row else None


async def record_import(postgres: Postgres, tenant_id: str, actor: str, counts: Mapping[str, int]) -> str:
    """Write the event of an import and return its id."""
    event_id = new_id("evt")
    await postgres.row(_QUERIES["record_import"], tenant_id, event_id, actor, msgspec.json.encode(counts).decode())
    return event_id


async def export_person(postgres: Postgres, tenant_id: str, user: UserOut) -> Person:
    """All that is kept of a user."""
    rows = KEPT + 1
    kept = await postgres.rows(_QUERIES["export_identifiers"], tenant_id, user.user_id, rows)
    identifiers = [KeptIdentifier(*row) for row in kept]
    names = [one.identifier for one in identifiers]
    kept = await postgres.rows(_QUERIES["export_sessions"], tenant_id, user.user_id, rows)
    user_sessions = [KeptSession(*row) for row in kept]
    challenges = [
        KeptChallenge(*row) for row in await postgres.rows(_QUERIES["export_challenges"], tenant_id, names, rows)
    ]
    messages = [KeptMessage(*row) for row in await postgres.rows(_QUERIES["export_messages"], tenant_id, names, rows)]
    ids = [user.user_id, *(one.session_id for one in user_sessions)]
    ids += [*(one.challenge_id for one in challenges), *(one.message_id for one in messages)]
    told = await postgres.rows(_QUERIES["export_events"], tenant_id, ids, rows)
    events = [KeptEvent(*_with_raw(row)) for row in told]
    lists: tuple[Sequence[msgspec.Struct], ...] = (identifiers, user_sessions, challenges, messages, events)
    complete = all(len(one) <= KEPT for one in lists)
    return Person(
        user, identifiers[:KEPT], user_sessions[:KEPT], challenges[:KEPT], messages[:KEPT], events[:KEPT], complete
    )


def _user(row: asyncpg.Record) -> UserOut:
    values: list[Any] = list(row)
    return UserOut(*values[:-2], *(msgspec.Raw(text.encode()) for text in values[-2:]))


def _with_raw(row: asyncpg.Record) -> list[Any]:
    """The columns of a row, of which the last is JSON."""
    values: list[Any] = list(row)
    return [*values[:-1], msgspec.Raw(values[-1].encode())]


def _object(text: str) -> Metadata:
    return msgspec.json.decode(text, type=Metadata)
