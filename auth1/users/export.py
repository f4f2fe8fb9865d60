"""Everything that is stored about one user, for a request of access."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from auth1.core.postgres import Postgres, Queries
from auth1.users.schemas import (
    ExportedChallenge,
    ExportedConsent,
    ExportedEvent,
    ExportedGrant,
    ExportedIdentifier,
    ExportedMessage,
    ExportedSession,
    UserExport,
    UserOut,
)

_QUERIES = Queries("users")
KEPT = 1000  # rows of a kind that are shown


class ExportOfUser(NamedTuple):
    """Parameters of `export_identifiers`."""

    tenant_id: str
    user_id: str
    max_rows: int


class ExportIdentifiersRow(NamedTuple):
    """A row of `export_identifiers`."""

    identifier: str
    channel: str
    sent_at: list[datetime]
    wrong_at: list[datetime]


class ExportSessionsRow(NamedTuple):
    """A row of `export_sessions`."""

    id: str
    channel: str
    device_name: str | None
    user_agent: str | None
    network: str | None
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    revoked_at: datetime | None


class ExportConsentsRow(NamedTuple):
    """A row of `export_consents`."""

    client_id: str
    scopes: list[str]
    granted_at: datetime
    revoked_at: datetime | None


class ExportGrantsRow(NamedTuple):
    """A row of `export_grants`."""

    id: str
    client_id: str
    session_id: str
    scopes: list[str]
    created_at: datetime
    refreshed_at: datetime | None
    expires_at: datetime
    revoked_at: datetime | None


class ExportOfIdentifiers(NamedTuple):
    """Parameters of `export_challenges`."""

    tenant_id: str
    identifiers: list[str]
    max_rows: int


class ExportChallengesRow(NamedTuple):
    """A row of `export_challenges`."""

    id: str
    identifier: str
    status: str
    opened_at: datetime
    expires_at: datetime
    closed_at: datetime | None


class ExportMessagesRow(NamedTuple):
    """A row of `export_messages`."""

    id: str
    challenge_id: str | None
    notice: str | None
    identifier: str
    channel: str
    locale: str | None
    state: str
    provider: str | None
    error: str | None
    created_at: datetime
    updated_at: datetime


class ExportEvents(NamedTuple):
    """Parameters of `export_events`."""

    tenant_id: str
    ids: list[str]
    max_rows: int


class ExportEventsRow(NamedTuple):
    """A row of `export_events`."""

    id: str
    type: str
    created_at: datetime
    actor: str
    subject: str
    data: str


EXPORT_IDENTIFIERS = _QUERIES.statement("export_identifiers", ExportOfUser, ExportIdentifiersRow)
EXPORT_SESSIONS = _QUERIES.statement("export_sessions", ExportOfUser, ExportSessionsRow)
EXPORT_CONSENTS = _QUERIES.statement("export_consents", ExportOfUser, ExportConsentsRow)
EXPORT_GRANTS = _QUERIES.statement("export_grants", ExportOfUser, ExportGrantsRow)
EXPORT_CHALLENGES = _QUERIES.statement("export_challenges", ExportOfIdentifiers, ExportChallengesRow)
EXPORT_MESSAGES = _QUERIES.statement("export_messages", ExportOfIdentifiers, ExportMessagesRow)
EXPORT_EVENTS = _QUERIES.statement("export_events", ExportEvents, ExportEventsRow)


async def export_user(postgres: Postgres, tenant_id: str, user: UserOut) -> UserExport:
    """Return everything that is stored about a user."""
    rows = KEPT + 1
    of_user = ExportOfUser(tenant_id, user.user_id, rows)
    identifiers = [ExportedIdentifier(*row) for row in await postgres.rows(EXPORT_IDENTIFIERS, of_user)]
    names = [one.identifier for one in identifiers]
    of_identifiers = ExportOfIdentifiers(tenant_id, names, rows)
    user_sessions = [ExportedSession(*row) for row in await postgres.rows(EXPORT_SESSIONS, of_user)]
    consents = [ExportedConsent(*row) for row in await postgres.rows(EXPORT_CONSENTS, of_user)]
    grants = [ExportedGrant(*row) for row in await postgres.rows(EXPORT_GRANTS, of_user)]
    challenges = [ExportedChallenge(*row) for row in await postgres.rows(EXPORT_CHALLENGES, of_identifiers)]
    messages = [ExportedMessage(*row) for row in await postgres.rows(EXPORT_MESSAGES, of_identifiers)]
    ids = [user.user_id, *(one.session_id for one in user_sessions)]
    ids += [one.grant_id for one in grants]
    ids += [*(one.challenge_id for one in challenges), *(one.message_id for one in messages)]
    rows_of_events = await postgres.rows(EXPORT_EVENTS, ExportEvents(tenant_id, ids, rows))
    events = [ExportedEvent(*row[:-1], msgspec.Raw(row.data.encode())) for row in rows_of_events]
    lists: tuple[Sequence[msgspec.Struct], ...] = (
        identifiers,
        user_sessions,
        consents,
        grants,
        challenges,
        messages,
        events,
    )
    complete = all(len(one) <= KEPT for one in lists)
    return UserExport(
        user,
        identifiers=identifiers[:KEPT],
        sessions=user_sessions[:KEPT],
        consents=consents[:KEPT],
        grants=grants[:KEPT],
        challenges=challenges[:KEPT],
        messages=messages[:KEPT],
        events=events[:KEPT],
        complete=complete,
    )
