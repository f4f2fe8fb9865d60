"""The types of the statements of sessions: parameters and rows, by the names that SQL gives them."""

from datetime import datetime
from typing import NamedTuple

from auth1.core.postgres import Batched, NoParams, Queries, function
from auth1.events.log import RecordedEvents
from auth1.row_keys import IdRow, UserKey

_QUERIES = Queries("sessions")


class FindSession(NamedTuple):
    """The type `find_session` of the function."""

    tenant_id: str
    session_id: str


class FindSessionRow(NamedTuple):
    """A row of `find_sessions`: all values but the key are null without a live session."""

    tenant_id: str
    session_id: str
    user_id: str | None
    channel: str
    opened_at: float
    ends_at: float
    phone: str | None
    email: str | None
    created_at: datetime
    last_login_at: datetime | None
    metadata: str
    user_metadata: str


class RefreshSession(NamedTuple):
    """The type `refresh_session` of the function."""

    tenant_id: str
    session_id: str
    number: int
    grace_s: int
    idle_after: int
    event_id: str
    actor: str
    request_id: str | None
    network: str | None
    is_preview: bool = False
    deadline: datetime | None = None  # set by Postgres.call


class RefreshSessionRow(NamedTuple):
    """A row of `refresh_sessions`."""

    tenant_id: str
    session_id: str
    verdict: str
    number: int
    user_id: str
    channel: str
    identifier: str | None
    events: str | None


class FindRefresh(NamedTuple):
    """Parameters of `find_refresh`."""

    tenant_id: str
    session_id: str
    event_id: str


class ListSessions(NamedTuple):
    """Parameters of `list_sessions`."""

    tenant_id: str
    user_id: str
    before: str
    max_rows: int


class ShowSession(NamedTuple):
    """Parameters of `show_session`."""

    tenant_id: str
    session_id: str
    user_id: str


class LiveSession(NamedTuple):
    """A row of `list_sessions` and `show_session`."""

    id: str
    channel: str
    device_name: str | None
    user_agent: str | None
    network: str | None
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime


class EndSession(NamedTuple):
    """Parameters of `end_session`."""

    tenant_id: str
    session_id: str
    user_id: str
    event_id: str
    actor: str
    request_id: str | None
    network: str | None
    reason: str


class EndUserSessions(NamedTuple):
    """Parameters of `end_user_sessions`."""

    tenant_id: str
    user_id: str
    keep: str | None
    event_id: str | None
    actor: str
    request_id: str | None
    network: str | None
    reason: str


class EndUserSessionsRow(NamedTuple):
    """A row of `end_user_sessions`."""

    sessions: list[str]
    events: str | None


class ListJustEnded(NamedTuple):
    """Parameters of `list_just_ended`."""

    tenant_id: str
    user_id: str
    within_s: int


class EndSurplusSessions(NamedTuple):
    """Parameters of `end_surplus_sessions`."""

    tenant_id: str
    user_id: str
    max_sessions: int


class EndAllSessions(NamedTuple):
    """Parameters of `end_all_sessions`."""

    tenant_id: str
    event_id: str
    actor: str
    request_id: str | None
    network: str | None


FIND_SESSIONS = Batched(function("find_sessions", FindSession, FindSessionRow), id_fields=("tenant_id", "session_id"))
USER_EXISTS = _QUERIES.statement("user_exists", UserKey, NoParams)
REFRESH_SESSIONS = Batched(
    function("refresh_sessions", RefreshSession, RefreshSessionRow),
    id_fields=("tenant_id", "session_id"),
    lock_fields=("tenant_id", "session_id"),
)
LIST_SESSIONS = _QUERIES.statement("list_sessions", ListSessions, LiveSession)
SHOW_SESSION = _QUERIES.statement("show_session", ShowSession, LiveSession)
END_SESSION = _QUERIES.statement("end_session", EndSession, RecordedEvents)
END_USER_SESSIONS = _QUERIES.statement("end_user_sessions", EndUserSessions, EndUserSessionsRow)
LIST_JUST_ENDED = _QUERIES.statement("list_just_ended", ListJustEnded, IdRow)
END_SURPLUS_SESSIONS = _QUERIES.statement("end_surplus_sessions", EndSurplusSessions, IdRow)
END_ALL_SESSIONS = _QUERIES.statement("end_all_sessions", EndAllSessions, RecordedEvents)
FIND_REFRESH = _QUERIES.statement("find_refresh", FindRefresh, RefreshSessionRow)
