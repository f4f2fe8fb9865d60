"""The statements of challenges: open one, submit a code, find one."""

from typing import Literal, NamedTuple, cast

import msgspec

from auth1.challenges.codes import LOGIN, SealedCode
from auth1.challenges.magic_link import NewLink
from auth1.challenges.schemas import ChallengeOut, MessageOut
from auth1.challenges.statements import (
    CLAIM_UNANSWERED,
    FIND_CHALLENGE,
    FIND_LIVE_CODE,
    FIND_OPENED,
    FIND_SUBMITTED,
    FIND_UNANSWERED,
    ChallengeKey,
    EventKey,
    OpenResult,
    OpenRow,
    SessionKey,
    SubmitResult,
    SubmitRow,
    UnansweredKey,
)
from auth1.core.postgres import Batched, Postgres, function
from auth1.events.log import EventContext, RecordedEvent, read_events
from auth1.hooks.config import Pause
from auth1.idempotency.store import Claim
from auth1.identifiers import Identifier
from auth1.row_keys import IdentifierKey
from auth1.sessions.create import NewSession

Verdict = Literal["ok", "new", "known", "wrong", "none", "exhausted", "locked", "banned"]
Rejection = Literal["reused", "replayed", "in_flight", "messages", "money", "full", "too_soon"]


class Price(NamedTuple):
    """The estimated price of a message, and the budgets of its tenant a day; money in microdollars.

    `soft`: the amount at which an event warns before the budget is spent. None: no limit.
    """

    segments: int | None = None
    microdollars: int = 0
    budget: int | None = None
    soft: int | None = None
    messages: int | None = None


class OpenChallenge(NamedTuple):
    """A request to open a challenge. The caller makes the ids, so that a retry finds its own rows.

    `is_suppressed`: send nothing unless the identifier belongs to a user (the tenant's sign-up is closed).
    """

    tenant_id: str
    context: EventContext
    identifier: Identifier
    code: SealedCode
    expires_in: int
    attempts: int
    sends_per_hour: int
    first_wait: int
    repeat_id: str | None
    provider: str | None
    data: dict[str, object]
    challenge_id: str
    message_id: str
    event_id: str
    locale: str | None
    box_prefixes: list[bytes]
    budget_event_id: str
    link: NewLink | None = None
    price: Price = Price()
    claim: Claim | None = None
    purpose: str = LOGIN
    is_suppressed: bool = False


class ChallengeOpened(NamedTuple):
    """A challenge with a new code, or with the live one, which is sent again."""

    verdict: Literal["opened", "repeated"]
    challenge_id: str
    code_box: bytes
    expires_in: int
    resend_after: int
    events: list[RecordedEvent]


class ChallengeRejected(NamedTuple):
    """A request that opened no challenge. `sealed_response` belongs to an earlier use of its Idempotency-Key."""

    verdict: Rejection
    retry_after: int
    sealed_response: bytes | None
    events: list[RecordedEvent]

    @property
    def frees_key(self) -> bool:
        """Return whether the request claimed an Idempotency-Key that must be released."""
        return self.verdict in ("messages", "money", "full", "too_soon")


class SubmitCode(NamedTuple):
    """A submitted code. `challenge_id` is the challenge that the caller names, `user_id` that of a new user.

    A right code pauses where `pause_before` says so. It is not consumed, and the verdict is `new`, or `known` where the
    identifier has a user. It does not pause again for the user that hooks have allowed.
    """

    tenant_id: str
    context: EventContext
    identifier: Identifier
    macs: list[bytes]
    challenge_id: str | None
    user_id: str
    session: NewSession
    event_id: str
    user_event_id: str
    pause_before: Pause | None = None
    allowed_user_id: str | None = None


class CodeResult(NamedTuple):
    """The result of a submitted code."""

    verdict: Verdict
    challenge_id: str | None
    user_id: str | None
    is_new_user: bool
    attempts_remaining: int | None
    retry_after: int | None
    events: list[RecordedEvent]


def _has_no_budget_or_key(row: OpenRow) -> bool:
    """Return whether a request can share a batch. One with an Idempotency-Key or a budget is a batch of its own."""
    return row.key_digest is None and row.budget_microdollars is None and row.budget_messages is None


_OPEN_CHALLENGES = Batched(
    function("open_challenges", OpenRow, OpenResult),
    id_fields=("message_id",),
    lock_fields=("tenant_id", "identifier"),
    can_share=_has_no_budget_or_key,
)
_SUBMIT_CODES = Batched(
    function("submit_codes", SubmitRow, SubmitResult), id_fields=("event_id",), lock_fields=("tenant_id", "identifier")
)


async def open_challenge(postgres: Postgres, request: OpenChallenge) -> ChallengeOpened | ChallengeRejected:
    """Open or repeat a challenge. A lost connection is retried once: the ids make that safe."""
    row = _open_row(request)

    async def find() -> OpenResult | None:
        return await postgres.row(FIND_OPENED, EventKey(row.tenant_id, row.event_id, row.budget_event_id))

    result = await _OPEN_CHALLENGES.call(postgres, row, find)
    events = read_events(result.events)
    if result.verdict in ("opened", "repeated") and result.challenge_id is not None and result.code_box is not None:
        verdict = cast(Literal["opened", "repeated"], result.verdict)
        waits = (result.expires_in or 0, result.resend_after or 0)
        return ChallengeOpened(verdict, result.challenge_id, result.code_box, *waits, events)
    retry_after = max(0, result.budget_after or 0, result.resend_after or 0)
    return ChallengeRejected(cast(Rejection, result.verdict), retry_after, result.stored_response, events)


def _open_row(request: OpenChallenge) -> OpenRow:
    identifier, link, price, claim = request.identifier, request.link, request.price, request.claim
    return OpenRow(
        tenant_id=request.tenant_id,
        identifier=identifier.value,
        type=identifier.type,
        purpose=request.purpose,
        challenge_id=request.challenge_id,
        repeat_id=request.repeat_id,
        code_mac=request.code.mac,
        code_box=request.code.box,
        expires_in=request.expires_in,
        attempts_max=request.attempts,
        box_prefixes=request.box_prefixes,
        message_id=request.message_id,
        provider=request.provider,
        sends_per_hour=request.sends_per_hour,
        first_wait=request.first_wait,
        locale=request.locale,
        link_token_digest=link.token_digest if link else None,
        link_secret_digest=link.secret_digest if link else None,
        link_with_code=link.options.with_code if link else None,
        link_user_agent=link.options.user_agent if link else None,
        link_network=link.options.network if link else None,
        redirect_to=link.options.redirect_to if link else None,
        code_challenge=link.options.code_challenge if link else None,
        country=identifier.country,
        segments=price.segments,
        price_microdollars=price.microdollars,
        budget_microdollars=price.budget,
        budget_soft_microdollars=price.soft,
        budget_messages=price.messages,
        budget_event_id=request.budget_event_id,
        route=claim.route if claim else None,
        key_digest=claim.digest if claim else None,
        body_digest=claim.body_digest if claim else None,
        is_suppressed=request.is_suppressed,
        event_id=request.event_id,
        **request.context._asdict(),
        data=msgspec.json.encode(request.data).decode(),
    )


async def submit_code(postgres: Postgres, request: SubmitCode) -> CodeResult:
    """Count an attempt and compare. After a lost connection, look first whether that was done."""
    row = SubmitRow(
        tenant_id=request.tenant_id,
        identifier=request.identifier.value,
        code_macs=request.macs,
        challenge_id=request.challenge_id,
        new_user_id=request.user_id,
        **request.session._asdict(),
        event_id=request.event_id,
        user_event_id=request.user_event_id,
        **request.context._asdict(),
        pause_before=request.pause_before,
        allowed_user_id=request.allowed_user_id,
    )

    async def find() -> SubmitResult | None:
        return await postgres.row(FIND_SUBMITTED, EventKey(row.tenant_id, row.event_id, row.user_event_id))

    result = await _SUBMIT_CODES.call(postgres, row, find)
    return CodeResult(cast(Verdict, result.verdict), *result[2:-1], read_events(result.events))


async def find_unanswered(
    postgres: Postgres, request: SubmitCode, event_ids: list[str]
) -> tuple[CodeResult, str] | None:
    """Return the committed login of earlier requests that got no answer, and its session. `event_ids` are theirs."""
    key = UnansweredKey(request.tenant_id, request.identifier.value, request.challenge_id, event_ids)
    row = await postgres.row(FIND_UNANSWERED, key)
    if row is None:
        return None
    events = read_events(row.events)
    return CodeResult("ok", row.challenge_id, row.user_id, row.is_new_user, None, None, events), row.session_id


async def claim_unanswered(postgres: Postgres, tenant_id: str, session_id: str) -> bool:
    """Return whether this caller is the one that gets the session of a login without an answer."""
    return await postgres.row(CLAIM_UNANSWERED, SessionKey(tenant_id, session_id)) is not None


async def has_live_code(postgres: Postgres, tenant_id: str, identifier: str) -> bool:
    """Return whether an identifier has a live code, for any purpose."""
    return await postgres.row(FIND_LIVE_CODE, IdentifierKey(tenant_id, identifier)) is not None


async def find_challenge(postgres: Postgres, tenant_id: str, challenge_id: str) -> ChallengeOut | None:
    """Return a challenge and its newest message."""
    row = await postgres.row(FIND_CHALLENGE, ChallengeKey(tenant_id, challenge_id))
    if row is None:
        return None
    message = None
    if row.message_id is not None:
        message = MessageOut(row.message_id, row.state, row.provider, row.error, row.created_at, row.updated_at)
    return ChallengeOut(row.id, row.channel, row.status, row.opened_at, row.expires_at, message)
