"""SQL of the account, by name."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import asyncpg
import msgspec

from auth1.core.postgres import ConnectionLost, Postgres, Queries, Transaction
from auth1.errors import Unavailable
from auth1.identifiers import Channel, Identifier
from auth1.sessions.store import end_user_sessions
from auth1.users.store import IDENTIFIER_CHANGED, lock_account

_QUERIES = Queries("account")
IDENTIFIER_REMOVED = "identifier_removed"  # a reason for which sessions end


class Merged(NamedTuple):
    """What became of the user's own metadata, and the sessions that know the old one."""

    fits: bool
    changed: bool
    user_metadata: str
    sessions: list[str]


class Proving(NamedTuple):
    """How `prove_identifier` is asked, and the events and the notice that may come of it."""

    identifier: Identifier
    purpose: str
    macs: list[bytes]
    named: str | None
    user_id: str
    session_id: str
    event_id: str
    logout_event_id: str
    message_id: str
    notice_channels: list[str]


class Proved(NamedTuple):
    """What `prove_identifier` decided. `ended` are sessions that ended with it, `live` those that go on."""

    verdict: Literal["ok", "kept", "taken", "wrong", "exhausted", "locked", "none", "gone"]
    challenge_id: str | None
    replaces: bool
    attempts_remaining: int | None
    retry_after: int | None
    ended: Sequence[str]
    live: Sequence[str]


class Removed(NamedTuple):
    """What `remove_identifier` decided, the sessions that ended with it, and those that go on."""

    verdict: Literal["ok", "last", "none", "gone"]
    ended: Sequence[str]
    live: Sequence[str]


async def change_user_metadata(
    postgres: Postgres,
    tenant_id: str,
    user_id: str,
    patch: dict[str, Any],
    *,
    bytes_at_most: int,
    event_id: str,
    session_id: str,
) -> Merged | None:
    """Merge at the top level; None where user or session is gone. A lost connection is tried again: that is safe."""
    kept = {name: value for name, value in patch.items() if value is not None}
    gone = [name for name, value in patch.items() if value is None]
    arguments = (tenant_id, user_id, msgspec.json.encode(kept).decode(), gone, bytes_at_most, event_id, session_id)
    try:
        row = await postgres.row(_QUERIES["change_user_metadata"], *arguments)
    except ConnectionLost:
        row = await postgres.row(_QUERIES["change_user_metadata"], *arguments)
    return Merged(*row) if row else None


async def prove_identifier(postgres: Postgres, tenant_id: str, asked: Proving) -> Proved:
    """Count an attempt, and give a proven identifier to its user, whose other sessions end if it replaces one.

    After a lost COMMIT, look whether it was done; if not, nothing was.
    """
    try:
        async with postgres.transaction() as transaction:
            return await _prove(transaction, tenant_id, asked)
    except ConnectionLost:
        row = await postgres.row(_QUERIES["find_proof"], tenant_id, asked.event_id, asked.user_id)
        if row is None:
            raise
        return _proved(
            row, row["ended"], await _live_sessions(postgres, tenant_id, asked.user_id, asked.identifier.channel)
        )


async def _prove(transaction: Transaction, tenant_id: str, asked: Proving) -> Proved:
    user_id = asked.user_id
    await lock_account(transaction, tenant_id, user_id)
    row = await transaction.row(
        _QUERIES["prove_identifier"],
        *(tenant_id, asked.identifier.value, asked.purpose, asked.macs, asked.named),
        *(user_id, asked.event_id, asked.message_id, asked.notice_channels, asked.session_id),
    )
    assert row is not None, "the statement returns its row whatever it decides"
    if row["verdict"] != "ok":
        return _proved(row)
    ended: list[str] = []
    if row["replaces"]:
        # A statement of its own, after the one that locked the user: only so it sees the sessions of faster logins.
        ended = await end_user_sessions(
            transaction,
            tenant_id,
            user_id,
            actor=user_id,
            reason=IDENTIFIER_CHANGED,
            keep=asked.session_id,
            event_id=asked.logout_event_id,
        )
    return _proved(row, ended, await _live_sessions(transaction, tenant_id, user_id, asked.identifier.channel))


def _proved(row: asyncpg.Record, ended: Sequence[str] = (), live: Sequence[str] = ()) -> Proved:
    verdict, challenge_id, replaces = row["verdict"], row["challenge_id"], row["replaces"]
    return Proved(verdict, challenge_id, replaces, row["attempts_remaining"], row["retry_after"], ended, live)


async def remove_identifier(
    postgres: Postgres,
    tenant_id: str,
    user_id: str,
    channel: Channel,
    *,
    session_id: str,
    event_id: str,
    logout_event_id: str,
    message_id: str,
    notice_channels: list[str],
) -> Removed:
    """Take an identifier from a user, and end the sessions that were opened through it."""
    async with postgres.transaction() as transaction:
        await lock_account(transaction, tenant_id, user_id)
        row = await transaction.row(
            _QUERIES["remove_identifier"],
            *(tenant_id, user_id, channel, event_id, message_id, notice_channels, session_id),
        )
        assert row is not None, "the statement returns its row whatever it decides"
        if row["verdict"] != "ok":
            return Removed(row["verdict"], [], [])
        ended = await transaction.rows(
            _QUERIES["end_channel_sessions"], tenant_id, user_id, channel, logout_event_id, IDENTIFIER_REMOVED
        )
        live = await _live_sessions(transaction, tenant_id, user_id, channel)
        return Removed("ok", [row["id"] for row in ended], live)


async def _live_sessions(on: Postgres | Transaction, tenant_id: str, user_id: str, channel: Channel) -> list[str]:
    """The sessions that go on after a change. Raises Unavailable where it met another one that it could not see."""
    row = await on.row(_QUERIES["account_after"], tenant_id, user_id, channel)
    assert row is not None, "the statement returns a row"
    if row["crowded"]:
        raise Unavailable("The account is being changed; try again in a moment.", retry_after=1)
    sessions: list[str] = row["sessions"]
    return sessions
