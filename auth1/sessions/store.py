"""SQL of sessions, by name."""

from typing import Any, Literal, NamedTuple

import msgspec

from auth1.core.ids import new_id
from auth1.core.postgres import ConnectionLost, Postgres, Queries, Transaction
from auth1.sessions.refresh_tokens import GRACE_S, Refresh
from auth1.sessions.schemas import SessionOut, SessionUser

_QUERIES = Queries("sessions")
JUST_S = 60  # longer than a session is kept in Redis


class Refreshed(NamedTuple):
    """What `refresh_session` decided; `number` is that of the live token."""

    verdict: Literal["rotated", "repeated", "reused", "revoked"]
    number: int
    user_id: str
    channel: str
    identifier: str | None


async def find_session(postgres: Postgres, tenant_id: str, session_id: str) -> SessionUser | None:
    """A live session and its user."""
    row = await postgres.row(_QUERIES["find_session"], tenant_id, session_id)
    if row is None:
        return None
    values: list[Any] = list(row)
    return SessionUser(*values[:-2], *(msgspec.Raw(text.encode()) for text in values[-2:]))


async def user_exists(postgres: Postgres, tenant_id: str, user_id: str) -> bool:
    """Whether a tenant has a user of this id."""
    return await postgres.row(_QUERIES["user_exists"], tenant_id, user_id) is not None


async def refresh_session(
    postgres: Postgres, tenant_id: str, refresh: Refresh, idle_after: int, event_id: str, actor: str
) -> Refreshed | None:
    """Rotate a refresh token; None where there is no such session. A lost connection is tried again: that is safe."""
    arguments = (tenant_id, *refresh, GRACE_S, idle_after, event_id, actor)
    try:
        row = await postgres.row(_QUERIES["refresh_session"], *arguments)
    except ConnectionLost:
        row = await postgres.row(_QUERIES["refresh_session"], *arguments)
    return Refreshed(*row) if row else None


async def list_sessions(postgres: Postgres, tenant_id: str, user_id: str, before: str, limit: int) -> list[SessionOut]:
    """A user's live sessions, newest first."""
    rows = await postgres.rows(_QUERIES["list_sessions"], tenant_id, user_id, before, limit)
    return [SessionOut(*row) for row in rows]


async def end_session(
    postgres: Postgres, tenant_id: str, session_id: str, user_id: str, *, actor: str, reason: str
) -> tuple[bool, str] | None:
    """End one session; returns whether it was live and the id of the event, None where the user has no such session."""
    event_id = new_id("evt")
    row = await postgres.row(_QUERIES["end_session"], tenant_id, session_id, user_id, event_id, actor, reason)
    return (row["changed"], event_id) if row else None


async def end_user_sessions(
    on: Postgres | Transaction,
    tenant_id: str,
    user_id: str,
    *,
    actor: str,
    reason: str,
    keep: str | None = None,
    event_id: str | None = None,
) -> list[str]:
    """End all of a user's sessions but `keep`; returns their ids, which `SessionCache.end` is to be told.

    Without `event_id` it writes no event: for whoever writes one that says more.
    """
    rows = await on.rows(_QUERIES["end_user_sessions"], tenant_id, user_id, keep, event_id, actor, reason)
    return [row["id"] for row in rows]


async def list_just_ended(postgres: Postgres, tenant_id: str, user_id: str) -> list[str]:
    """A user's sessions that ended so lately that a cache may know them: an end that is repeated tells of them."""
    rows = await postgres.rows(_QUERIES["list_just_ended"], tenant_id, user_id, JUST_S)
    return [row["id"] for row in rows]


async def end_surplus_sessions(postgres: Postgres, tenant_id: str, user_id: str, allowed: int) -> list[str]:
    """End a user's oldest sessions beyond a number; returns their ids."""
    rows = await postgres.rows(_QUERIES["end_surplus_sessions"], tenant_id, user_id, allowed)
    return [row["id"] for row in rows]


async def end_all_sessions(postgres: Postgres, tenant_id: str, actor: str) -> str:
    """End the sessions of all of a tenant's users; returns the id of the event."""
    event_id = new_id("evt")
    await postgres.row(_QUERIES["end_all_sessions"], tenant_id, event_id, actor)
    return event_id
