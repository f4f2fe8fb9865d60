"""The statements of sessions after they were opened."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, cast

import msgspec

from auth1.core.ids import new_id
from auth1.core.postgres import Postgres, Transaction
from auth1.errors import NotFound
from auth1.events.log import EventContext, RecordedEvent, read_events
from auth1.row_keys import UserKey
from auth1.sessions.refresh_tokens import GRACE_S, Refresh
from auth1.sessions.schemas import SessionOut, SessionUser
from auth1.sessions.statements import (
    END_ALL_SESSIONS,
    END_SESSION,
    END_SURPLUS_SESSIONS,
    END_USER_SESSIONS,
    FIND_REFRESH,
    FIND_SESSIONS,
    LIST_JUST_ENDED,
    LIST_SESSIONS,
    REFRESH_SESSIONS,
    SHOW_SESSION,
    USER_EXISTS,
    EndAllSessions,
    EndSession,
    EndSurplusSessions,
    EndUserSessions,
    FindRefresh,
    FindSession,
    ListJustEnded,
    ListSessions,
    RefreshSession,
    RefreshSessionRow,
    ShowSession,
)

CACHED_S = 60  # longer than a session is kept in Redis


class Refreshed(NamedTuple):
    """The result of a refresh. `number` is that of the live token."""

    verdict: Literal["rotated", "repeated", "reused", "revoked"]
    number: int
    user_id: str
    channel: str
    identifier: str | None
    events: list[RecordedEvent]


class Ended(NamedTuple):
    """Sessions that were ended, which `SessionCache.revoke` takes, and the event of it."""

    sessions: list[str]
    events: list[RecordedEvent]


async def find_session(postgres: Postgres, tenant_id: str, session_id: str) -> SessionUser | None:
    """Return a live session and its user."""
    row = await FIND_SESSIONS.call(postgres, FindSession(tenant_id, session_id))
    if row.user_id is None:
        return None
    return SessionUser(
        row.user_id, *row[3:-2], *(msgspec.Raw(text.encode()) for text in (row.metadata, row.user_metadata))
    )


async def user_exists(postgres: Postgres, tenant_id: str, user_id: str) -> bool:
    """Return whether a tenant has a user of this id."""
    return await postgres.row(USER_EXISTS, UserKey(tenant_id, user_id)) is not None


async def refresh_session(
    postgres: Postgres,
    tenant_id: str,
    refresh: Refresh,
    idle_after: int,
    context: EventContext,
    *,
    is_preview: bool = False,
) -> Refreshed | None:
    """Rotate a refresh token; None where there is no such session. A preview judges it, and rotates nothing.

    After a lost connection, look first whether this revoked the session; rotating again is safe.
    """
    params = RefreshSession(
        tenant_id, refresh.session_id, refresh.number, GRACE_S, idle_after, new_id("evt"), *context, is_preview
    )

    async def find() -> RefreshSessionRow | None:
        key = FindRefresh(tenant_id, refresh.session_id, params.event_id)
        return await postgres.row(FIND_REFRESH, key)

    row = await REFRESH_SESSIONS.call(postgres, params, find)
    if row.verdict == "unknown":
        return None
    verdict = cast(Literal["rotated", "repeated", "reused", "revoked"], row.verdict)
    return Refreshed(verdict, *row[3:-1], events=read_events(row.events))


async def list_sessions(postgres: Postgres, tenant_id: str, user_id: str, before: str, limit: int) -> list[SessionOut]:
    """List a user's live sessions, newest first."""
    rows = await postgres.rows(LIST_SESSIONS, ListSessions(tenant_id, user_id, before, limit))
    return [SessionOut(*row) for row in rows]


async def find_live_session(postgres: Postgres, tenant_id: str, user_id: str, session_id: str) -> SessionOut:
    """Return a live session of a user. Raises NotFound."""
    row = await postgres.row(SHOW_SESSION, ShowSession(tenant_id, session_id, user_id))
    if row is None:
        raise NotFound
    return SessionOut(*row)


async def end_session(
    postgres: Postgres, tenant_id: str, session_id: str, user_id: str, *, context: EventContext, reason: str
) -> list[RecordedEvent] | None:
    """End one session; returns the event if it was live, None where the user has no such session."""
    params = EndSession(tenant_id, session_id, user_id, new_id("evt"), *context, reason)
    row = await postgres.row(END_SESSION, params)
    return read_events(row.events) if row else None


async def end_user_sessions(
    on: Postgres | Transaction,
    tenant_id: str,
    user_id: str,
    *,
    context: EventContext,
    reason: str,
    keep: str | None = None,
    has_event: bool = True,
) -> Ended:
    """End all of a user's sessions but `keep`; without `has_event` the caller records an event that says more."""
    event_id = new_id("evt") if has_event else None
    row = await on.row(END_USER_SESSIONS, EndUserSessions(tenant_id, user_id, keep, event_id, *context, reason))
    return Ended(row.sessions, read_events(row.events)) if row else Ended([], [])


async def list_just_ended(postgres: Postgres, tenant_id: str, user_id: str) -> Sequence[str]:
    """List the sessions of a user that ended so lately that a cache may know them, so that a retry revokes them."""
    rows = await postgres.rows(LIST_JUST_ENDED, ListJustEnded(tenant_id, user_id, CACHED_S))
    return [row.id for row in rows]


async def end_surplus_sessions(postgres: Postgres, tenant_id: str, user_id: str, allowed: int) -> list[str]:
    """End a user's oldest sessions beyond a number; returns their ids."""
    rows = await postgres.rows(END_SURPLUS_SESSIONS, EndSurplusSessions(tenant_id, user_id, allowed))
    return [row.id for row in rows]


async def end_all_sessions(postgres: Postgres, tenant_id: str, context: EventContext) -> list[RecordedEvent]:
    """End the sessions of all of a tenant's users."""
    row = await postgres.row(END_ALL_SESSIONS, EndAllSessions(tenant_id, new_id("evt"), *context))
    return read_events(row.events if row else None)
