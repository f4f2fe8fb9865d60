"""The statements of the account: metadata, identifiers."""

from typing import Any, Literal, NamedTuple, cast

import msgspec

from auth1.account.statements import (
    ACCOUNT_AFTER,
    CHANGE_USER_METADATA,
    FIND_METADATA_CHANGE,
    FIND_PROOF,
    PROVE_IDENTIFIER,
    REMOVE_IDENTIFIER,
    REVOKE_CHANNEL_SESSIONS,
    ChangeMetadata,
    MergedRow,
    MetadataChangeKey,
    ProofKey,
    ProofRow,
    ProveRow,
    RemoveRow,
    RevokeChannel,
)
from auth1.core.ids import new_id
from auth1.core.postgres import Postgres, Transaction, repeat_once
from auth1.errors import Unavailable
from auth1.events.log import EventContext, RecordedEvent, read_events
from auth1.identifiers import CHANNELS, Identifier, IdentifierType
from auth1.row_keys import UserKey
from auth1.users.store import lock_account

IDENTIFIER_REMOVED = "identifier_removed"  # a reason for ended sessions


class MergedMetadata(NamedTuple):
    """The user's new metadata, and the sessions with stale cache entries."""

    fits: bool
    user_metadata: str
    sessions: list[str]
    events: list[RecordedEvent]


class ProveIdentifier(NamedTuple):
    """A submitted code for an identifier that a user wants to add. `challenge_id`: the one that the caller names."""

    tenant_id: str
    context: EventContext
    identifier: Identifier
    purpose: str
    macs: list[bytes]
    challenge_id: str | None
    user_id: str
    session_id: str
    notice_channels: list[str]


class ProofResult(NamedTuple):
    """The result. Tokens of revoked sessions end; the cached users of live sessions are stale."""

    verdict: Literal["ok", "kept", "taken", "wrong", "exhausted", "locked", "none", "gone"]
    attempts_remaining: int | None
    retry_after: int | None
    revoked_sessions: list[str]
    live_sessions: list[str]
    events: list[RecordedEvent]


class RemoveIdentifier(NamedTuple):
    """A removal of a user's identifier of a type. The caller's session must be live."""

    tenant_id: str
    context: EventContext
    user_id: str
    session_id: str
    type: IdentifierType
    notice_channels: list[str]


class RemovalResult(NamedTuple):
    """The result, the ended sessions, and the live sessions."""

    verdict: Literal["ok", "last", "none", "gone"]
    revoked_sessions: list[str]
    live_sessions: list[str]
    events: list[RecordedEvent]


async def change_user_metadata(
    postgres: Postgres,
    tenant_id: str,
    user_id: str,
    patch: dict[str, Any],
    *,
    session_id: str,
    max_bytes: int,
    context: EventContext,
) -> MergedMetadata | None:
    """Merge at the top level; None where user or session is gone.

    After a lost connection, check whether it was committed: a second run would undo a later change.
    """
    changes = {name: value for name, value in patch.items() if value is not None}
    row = ChangeMetadata(
        tenant_id=tenant_id,
        user_id=user_id,
        session_id=session_id,
        changes=msgspec.json.encode(changes).decode(),
        removed=[name for name, value in patch.items() if value is None],
        max_bytes=max_bytes,
        event_id=new_id("evt"),
        **context._asdict(),
    )

    async def run() -> MergedRow | None:
        return await postgres.row(CHANGE_USER_METADATA, row)

    async def find() -> MergedRow | None:
        return await postgres.row(FIND_METADATA_CHANGE, MetadataChangeKey(tenant_id, user_id, row.event_id))

    merged = await repeat_once(run, find)
    return MergedMetadata(*merged[:-1], events=read_events(merged.events)) if merged else None


async def prove_identifier(postgres: Postgres, request: ProveIdentifier) -> ProofResult:
    """Count an attempt, and link a verified identifier to its user. A replacement ends the user's other sessions.

    After a lost connection, check whether it was committed.
    """
    row = ProveRow(
        tenant_id=request.tenant_id,
        identifier=request.identifier.value,
        type=request.identifier.type,
        purpose=request.purpose,
        code_macs=request.macs,
        challenge_id=request.challenge_id,
        user_id=request.user_id,
        session_id=request.session_id,
        notice_id=new_id("msg"),
        notice_channels=request.notice_channels,
        event_id=new_id("evt"),
        revocation_event_id=new_id("evt"),
        request_id=request.context.request_id,
        network=request.context.network,
    )

    async def run() -> ProofRow:
        [result] = await postgres.call(PROVE_IDENTIFIER, row)
        return result

    async def find() -> ProofRow | None:
        key = ProofKey(row.tenant_id, row.user_id, row.event_id, row.revocation_event_id)
        return await postgres.row(FIND_PROOF, key)

    result = await repeat_once(run, find)
    return ProofResult(
        cast(Literal["ok", "kept", "taken", "wrong", "exhausted", "locked", "none", "gone"], result.verdict),
        result.attempts_remaining,
        result.retry_after,
        result.revoked_sessions or [],
        result.live_sessions or [],
        read_events(result.events),
    )


async def remove_identifier(postgres: Postgres, request: RemoveIdentifier) -> RemovalResult:
    """Remove an identifier from a user, and end the sessions that it opened."""
    return await postgres.in_transaction(lambda transaction: _remove(transaction, request))


async def _remove(transaction: Transaction, request: RemoveIdentifier) -> RemovalResult:
    account = UserKey(request.tenant_id, request.user_id)
    await lock_account(transaction, request.tenant_id, request.user_id)
    row = RemoveRow(
        **account._asdict(),
        session_id=request.session_id,
        type=request.type,
        notice_id=new_id("msg"),
        notice_channels=request.notice_channels,
        event_id=new_id("evt"),
        **request.context._asdict(),
    )
    removed = await transaction.row(REMOVE_IDENTIFIER, row)
    assert removed is not None, "the statement returns its row whatever it decides"
    verdict = cast(Literal["ok", "last", "none", "gone"], removed.verdict)
    if verdict != "ok":
        return RemovalResult(verdict, [], [], [])
    revocation = RevokeChannel(
        **account._asdict(),
        channel=CHANNELS[request.type],
        reason=IDENTIFIER_REMOVED,
        event_id=new_id("evt"),
        **request.context._asdict(),
    )
    revoked = await transaction.row(REVOKE_CHANNEL_SESSIONS, revocation)
    after = await transaction.row(ACCOUNT_AFTER, account)
    assert revoked is not None, "the statement returns a row"
    assert after is not None, "the statement returns a row"
    if after.is_crowded:  # the statement did not see a concurrent change by the tenant
        raise Unavailable("The account is being changed by another request; retry.", retry_after=1)
    events = read_events(removed.events) + read_events(revoked.events)
    return RemovalResult("ok", revoked.sessions, after.sessions, events)
