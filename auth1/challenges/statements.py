"""The types of the statements of challenges: parameters and rows, by the names that SQL gives them."""

from datetime import datetime
from typing import Literal, NamedTuple

from auth1.core.postgres import Queries
from auth1.row_keys import IdentifierKey

_QUERIES = Queries("challenges")


class OpenRow(NamedTuple):
    """The type `open_challenge` of the function."""

    tenant_id: str
    identifier: str
    type: str
    purpose: str
    challenge_id: str
    repeat_id: str | None
    code_mac: bytes
    code_box: bytes
    expires_in: int
    attempts_max: int
    box_prefixes: list[bytes]
    message_id: str
    provider: str | None
    sends_per_hour: int
    first_wait: int
    locale: str | None
    link_token_digest: bytes | None
    link_secret_digest: bytes | None
    link_with_code: bool | None
    link_user_agent: str | None
    link_network: str | None
    redirect_to: str | None
    code_challenge: str | None
    country: str | None
    segments: int | None
    price_microdollars: int
    budget_microdollars: int | None
    budget_soft_microdollars: int | None
    budget_messages: int | None
    budget_event_id: str
    route: str | None
    key_digest: bytes | None
    body_digest: bytes | None
    is_suppressed: bool
    event_id: str
    actor: str
    request_id: str | None
    network: str | None
    data: str
    deadline: datetime | None = None  # set by Postgres.call


class OpenResult(NamedTuple):
    """A row of `open_challenges`."""

    message_id: str
    verdict: str
    challenge_id: str | None
    code_box: bytes | None
    expires_in: int | None
    resend_after: int | None
    budget_after: int | None
    stored_response: bytes | None
    events: str | None


class SubmitRow(NamedTuple):
    """The type `submit_code` of the function."""

    tenant_id: str
    identifier: str
    code_macs: list[bytes]
    challenge_id: str | None
    new_user_id: str
    session_id: str
    session_expires_in: int
    session_idle_after: int
    device_name: str | None
    user_agent: str | None
    network: str | None
    event_id: str
    user_event_id: str
    actor: str
    request_id: str | None
    pause_before: str | None = None
    allowed_user_id: str | None = None
    deadline: datetime | None = None  # set by Postgres.call


class SubmitResult(NamedTuple):
    """A row of `submit_codes`."""

    event_id: str
    verdict: str
    challenge_id: str | None
    user_id: str | None
    is_new_user: bool
    attempts_remaining: int | None
    retry_after: int | None
    events: str | None


class EventKey(NamedTuple):
    """The ids of the events that a statement may have recorded."""

    tenant_id: str
    event_id: str
    other_event_id: str


class UnansweredKey(NamedTuple):
    """A login whose requests got no answer: the events that they may have recorded, and the challenge they named."""

    tenant_id: str
    identifier: str
    challenge_id: str | None
    event_ids: list[str]


class UnansweredRow(NamedTuple):
    """A login that was committed, although its request got no answer."""

    challenge_id: str
    user_id: str
    is_new_user: bool
    session_id: str
    events: str | None


class SessionKey(NamedTuple):
    """The key of a session."""

    tenant_id: str
    session_id: str


class ClaimedSession(NamedTuple):
    """A session that its caller has claimed."""

    session_id: str


class LiveCode(NamedTuple):
    """The purpose of a live code."""

    purpose: str


class ChallengeKey(NamedTuple):
    """The key of a challenge."""

    tenant_id: str
    challenge_id: str


class ChallengeRow(NamedTuple):
    """A challenge with its newest message, if it has one."""

    id: str
    channel: Literal["sms", "email"]
    status: Literal["open", "answered", "expired", "exhausted", "cancelled"]
    opened_at: datetime
    expires_at: datetime
    message_id: str | None
    state: Literal["queued", "sent", "delivered", "failed", "unknown"]
    provider: str | None
    error: str | None
    created_at: datetime
    updated_at: datetime


FIND_OPENED = _QUERIES.statement("find_opened", EventKey, OpenResult)
FIND_SUBMITTED = _QUERIES.statement("find_submitted", EventKey, SubmitResult)
FIND_UNANSWERED = _QUERIES.statement("find_unanswered", UnansweredKey, UnansweredRow)
CLAIM_UNANSWERED = _QUERIES.statement("claim_unanswered", SessionKey, ClaimedSession)
FIND_LIVE_CODE = _QUERIES.statement("find_live_code", IdentifierKey, LiveCode)
FIND_CHALLENGE = _QUERIES.statement("find_challenge", ChallengeKey, ChallengeRow)
