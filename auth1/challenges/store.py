"""SQL of the main job, by name. Rows become typed verdicts here."""

from typing import Literal, NamedTuple, cast

import msgspec

from auth1.challenges.codes import LOGIN, SealedCode
from auth1.challenges.magic_link import NewLink
from auth1.challenges.schemas import ChallengeOut, MessageOut
from auth1.core.ids import new_id
from auth1.core.postgres import ConnectionLost, Postgres, Queries
from auth1.events.types import EventType
from auth1.idempotency.store import Claim
from auth1.identifiers import Identifier
from auth1.sessions.create import NewSession

_QUERIES = Queries("challenges")

Verdict = Literal["ok", "wrong", "none", "exhausted", "locked", "banned"]


Refused = Literal["reused", "replayed", "in_flight", "messages", "money", "full", "too_soon"]


class Price(NamedTuple):
    """What a message is estimated to cost, and what its tenant may spend and send a day; money in microdollars.

    `soft`: how much spent is to be told of before the end. None: there is no bound.
    """

    segments: int | None = None
    microdollars: int = 0
    budget: int | None = None
    soft: int | None = None
    messages: int | None = None


class OpenChallenge(NamedTuple):
    """How `open_challenge` is asked: ids are made by the caller, so that a retry finds its own rows."""

    identifier: Identifier
    code: SealedCode
    expires_in: int
    attempts: int
    sends_per_hour: int
    resend_base: int
    again: str | None
    trying: str | None
    data: dict[str, object]
    challenge_id: str
    message_id: str
    event_id: str
    locale: str | None
    seals: list[bytes]
    mark_event_id: str
    link: NewLink | None = None
    price: Price = Price()
    claim: Claim | None = None
    purpose: str = LOGIN


class ChallengeOpened(NamedTuple):
    """`open_challenge` made a code, or repeats one. `mark`: of the tenant's budget, if one was reached."""

    verdict: Literal["opened", "repeated"]
    mark: str | None
    challenge_id: str
    code_box: bytes
    expires_in: int
    resend_after: int


class ChallengeRejected(NamedTuple):
    """`open_challenge` refused. `sealed_response` is what was answered before to the same Idempotency-Key."""

    verdict: Refused
    mark: str | None
    retry_after: int
    sealed_response: bytes | None

    @property
    def frees_key(self) -> bool:
        """Whether an Idempotency-Key was claimed for nothing."""
        return self.verdict in ("messages", "money", "full", "too_soon")


class SubmitCode(NamedTuple):
    """How `answer_challenge` is asked."""

    identifier: Identifier
    macs: list[bytes]
    named: str | None
    user_id: str
    session: NewSession
    event_id: str
    user_event_id: str


class CodeResult(NamedTuple):
    """What `answer_challenge` decided."""

    verdict: Verdict
    challenge_id: str | None
    user_id: str | None
    is_new_user: bool
    attempts_remaining: int | None
    retry_after: int | None


async def open_challenge(
    postgres: Postgres, tenant_id: str, actor: str, asked: OpenChallenge
) -> ChallengeOpened | ChallengeRejected:
    """Open or repeat a challenge. A lost connection is tried again once: the ids make that safe."""
    price, claim = asked.price, asked.claim
    arguments = (
        *(tenant_id, asked.identifier.value, asked.identifier.channel, asked.purpose),
        *(asked.challenge_id, asked.again),
        *(asked.code.mac, asked.code.box, asked.expires_in, asked.attempts),
        *(asked.message_id, asked.trying),
        *(asked.sends_per_hour, asked.resend_base),
        *(asked.event_id, actor, msgspec.json.encode(asked.data).decode(), asked.locale),
        *_link_arguments(asked.link),
        asked.seals,
        *(asked.identifier.country, price.segments, price.microdollars),
        *(price.budget, price.soft, price.messages, asked.mark_event_id),
        *((claim.route, claim.digest, claim.body_digest) if claim else (None, None, None)),
    )
    try:
        row = await postgres.row(_QUERIES["open_challenge"], *arguments)
    except ConnectionLost:
        row = await postgres.row(_QUERIES["open_challenge"], *arguments)
    if row is not None and row["verdict"] == "uncounted":  # the first message since the tenant has a budget
        await postgres.row(_QUERIES["make_budget"], tenant_id)
        row = await postgres.row(_QUERIES["open_challenge"], *arguments)
    assert row is not None, "the statement returns its row whatever it decides"
    if row["verdict"] in ("opened", "repeated"):
        return ChallengeOpened(*(row[name] for name in ChallengeOpened._fields))
    waits = (row["budget_after"], row["resend_after"])
    return ChallengeRejected(row["verdict"], row["mark"], max(0, *(wait or 0 for wait in waits)), row["answer_box"])


def _link_arguments(link: NewLink | None) -> tuple[object, ...]:
    if link is None:
        return (None,) * 5
    return (link.token_digest, link.secret_digest, link.with_code, link.redirect_to, link.code_challenge)


async def answer_challenge(postgres: Postgres, tenant_id: str, actor: str, asked: SubmitCode) -> CodeResult:
    """Count an attempt and compare. After a lost connection, look first whether that was done."""
    arguments = (
        *(tenant_id, asked.identifier.value, LOGIN, asked.macs, asked.named),
        *(asked.user_id, *asked.session),
        *(asked.event_id, asked.user_event_id, actor),
    )
    try:
        row = await postgres.row(_QUERIES["answer_challenge"], *arguments)
    except ConnectionLost:
        row = await postgres.row(_QUERIES["find_answer"], tenant_id, asked.event_id)
        row = row or await postgres.row(_QUERIES["answer_challenge"], *arguments)
    assert row is not None, "the statement returns its row whatever it decides"
    return CodeResult(cast(Verdict, row["verdict"]), *list(row)[1:])


async def find_challenge(postgres: Postgres, tenant_id: str, challenge_id: str) -> ChallengeOut | None:
    """A challenge and its newest message."""
    row = await postgres.row(_QUERIES["find_challenge"], tenant_id, challenge_id)
    if row is None:
        return None
    message = MessageOut(*list(row)[5:]) if row["message_id"] is not None else None
    return ChallengeOut(row["id"], row["channel"], row["status"], row["opened_at"], row["expires_at"], message)


async def record_blocked(
    postgres: Postgres, tenant_id: str, actor: str, channel: str, country: str | None, reasons: list[str]
) -> str:
    """Write the event of a request that fraud rules refused; returns its id."""
    event_id = new_id("evt")
    data = {"channel": channel, "country": country, "reasons": reasons}
    await postgres.row(
        _QUERIES["record_event"],
        *(tenant_id, event_id, EventType.REQUEST_BLOCKED.value, actor, event_id, msgspec.json.encode(data).decode()),
    )
    return event_id
