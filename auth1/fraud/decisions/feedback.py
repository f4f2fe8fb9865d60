"""Feedback of a tenant on a decision: the request was honest, or fraud.

Honest: an allow entry, and the exposure of the decision's scopes is forgiven. The entry is for the number that the
code was sent to. A decision without a code has only the block of 1,000 numbers; its entry expires after a week. Fraud:
a block entry for a month, only where the number is known, because a block of numbers has honest people as well.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, NamedTuple

import msgspec

from auth1.core.ids import new_id
from auth1.core.postgres import Postgres, Queries, Transaction
from auth1.core.schemas import In, Out
from auth1.errors import NotFound
from auth1.events.log import EventContext, RecordedEvent, RecordedEvents, read_events
from auth1.fraud.exposures.messages import Message
from auth1.fraud.lists import store as list_store
from auth1.fraud.lists.schemas import ListEntryIn
from auth1.fraud.rules import Facts
from auth1.identifiers import is_e164

Was = Literal["honest", "fraud"]
BLOCK_ALLOWED = timedelta(days=7)
NUMBER_BLOCKED = timedelta(days=30)
_REASON = "feedback on {}"
_QUERIES = Queries("fraud_review")


class FeedbackIn(In):
    """Feedback on a decision. A later feedback on the same decision replaces this one."""

    decision_id: Annotated[
        str,
        msgspec.Meta(
            max_length=64,
            pattern=r"^fd_[0-9a-z]{26}\Z",
            extra={"message": "Must be the ID of a decision, such as fd_01jd8k2m4n6p8q0r2s4t6v8w0x."},
            examples=["fd_01kf0fv2vw5m8d3k6r1c9q7t2x"],
        ),
    ]
    was: Annotated[Was, msgspec.Meta(examples=["honest"])]


class FeedbackOut(Out):
    """A recorded feedback. `entry_id`: the entry of the allow or block list that follows from it; null: none."""

    decision_id: Annotated[str, msgspec.Meta(examples=["fd_01kf0fv2vw5m8d3k6r1c9q7t2x"])]
    was: Was
    entry_id: Annotated[str, msgspec.Meta(examples=["fl_01kf0fv2qd8x7r3n5w1mzt9c4h"])] | None


class RecordedFeedback(NamedTuple):
    """A feedback and its events. `forgiven`: a message of the scopes to forgive; null: none, or they were before."""

    feedback: FeedbackOut
    events: list[RecordedEvent]
    forgiven: Message | None = None


class _DecisionKey(NamedTuple):
    tenant_id: str
    decision_id: str


class _LockedDecision(NamedTuple):
    features: str
    feedback: Was | None
    feedback_entry_id: str | None
    identifier: str | None


class _FindEntry(NamedTuple):
    tenant_id: str
    list: str
    kind: str
    value: str


class _EntryId(NamedTuple):
    entry_id: str


class _RecordFeedback(NamedTuple):
    tenant_id: str
    decision_id: str
    was: str
    entry_id: str | None
    event_id: str
    actor: str
    request_id: str | None
    network: str | None


class _Features(msgspec.Struct):
    """The features of a decision that a feedback needs."""

    block: str | None = None
    country: str | None = None
    network: str | None = None
    facts: Facts | None = None


_LOCK_DECISION = _QUERIES.statement("lock_decision", _DecisionKey, _LockedDecision)
_FIND_ENTRY = _QUERIES.statement("find_entry", _FindEntry, _EntryId)
_RECORD_FEEDBACK = _QUERIES.statement("record_feedback", _RecordFeedback, RecordedEvents)
_decode_features = msgspec.json.Decoder(_Features).decode


async def record_feedback(
    postgres: Postgres, tenant_id: str, given: FeedbackIn, context: EventContext
) -> RecordedFeedback:
    """Record a feedback; a repeat changes nothing. Raises NotFound, and Conflict when the lists are full."""

    async def work(transaction: Transaction) -> RecordedFeedback:
        return await _record(transaction, tenant_id, given, context)

    return await postgres.in_transaction(work)


async def _record(
    transaction: Transaction, tenant_id: str, given: FeedbackIn, context: EventContext
) -> RecordedFeedback:
    decision_id, was = given.decision_id, given.was
    row = await transaction.row(_LOCK_DECISION, _DecisionKey(tenant_id, decision_id))
    if row is None:
        raise NotFound
    if row.feedback == was:
        return RecordedFeedback(FeedbackOut(decision_id, was, row.feedback_entry_id), [])
    features = _decode_features(row.features)
    events: list[RecordedEvent] = []
    if row.feedback_entry_id is not None:
        events += await list_store.delete_entry_in(transaction, tenant_id, row.feedback_entry_id, context) or []
    entry_id = None
    if (new := _entry(given, row.identifier, features)) is not None:
        found = await transaction.row(_FIND_ENTRY, _FindEntry(tenant_id, new.list, new.kind, new.value))
        if found is None:
            entry, added = await list_store.add_entry_in(transaction, tenant_id, new, context)
            entry_id, events = entry.entry_id, events + added
    recorded = await transaction.row(
        _RECORD_FEEDBACK, _RecordFeedback(tenant_id, decision_id, was, entry_id, new_id("evt"), *context)
    )
    events += read_events(recorded.events) if recorded is not None else []
    forgiven = _message(tenant_id, row.identifier, features) if was == "honest" else None
    return RecordedFeedback(FeedbackOut(decision_id, was, entry_id), events, forgiven)


def _entry(given: FeedbackIn, identifier: str | None, features: _Features) -> ListEntryIn | None:
    """Return the entry that follows from a feedback."""
    reason, now = _REASON.format(given.decision_id), datetime.now(UTC)
    number = identifier if identifier is not None and is_e164(identifier) else None
    if given.was == "fraud":
        expires_at = now + NUMBER_BLOCKED
        return ListEntryIn("block", "number", number, reason, expires_at) if number is not None else None
    if number is not None:
        return ListEntryIn("allow", "number", number, reason)
    if features.block is not None:
        return ListEntryIn("allow", "prefix", features.block, reason, now + BLOCK_ALLOWED)
    return None


def _message(tenant_id: str, identifier: str | None, features: _Features) -> Message | None:
    """Return a message in the scopes of a decision, or None without a block of numbers.

    The address is not stored: its network is forgiven, and the address decays.
    """
    if features.block is None:
        return None
    number = f"{features.block}000"  # its last three digits are in no scope
    return Message(
        tenant_id=tenant_id,
        identifier=identifier or number,
        number=number,
        country=features.country,
        price=features.facts.price if features.facts is not None else 0.0,
        address=features.network.partition("/")[0] if features.network is not None else None,
    )
