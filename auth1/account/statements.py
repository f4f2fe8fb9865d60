"""The types of the statements of the account: parameters and rows, by the names that SQL gives them."""

from datetime import datetime
from typing import NamedTuple

from auth1.core.postgres import Queries, function
from auth1.row_keys import UserKey

_QUERIES = Queries("account")


class ChangeMetadata(NamedTuple):
    """Parameters of `change_user_metadata`."""

    tenant_id: str
    user_id: str
    session_id: str
    changes: str
    removed: list[str]
    max_bytes: int
    event_id: str
    actor: str
    request_id: str | None
    network: str | None


class MetadataChangeKey(NamedTuple):
    """The event of a change of user metadata."""

    tenant_id: str
    user_id: str
    event_id: str


class MergedRow(NamedTuple):
    """A row of `change_user_metadata`."""

    fits: bool
    user_metadata: str
    sessions: list[str]
    events: str | None


class ProveRow(NamedTuple):
    """Parameters of `prove_identifier`."""

    tenant_id: str
    identifier: str
    type: str
    purpose: str
    code_macs: list[bytes]
    challenge_id: str | None
    user_id: str
    session_id: str
    notice_id: str
    notice_channels: list[str]
    event_id: str
    revocation_event_id: str
    request_id: str | None
    network: str | None
    deadline: datetime | None = None  # set by Postgres.call


class ProofRow(NamedTuple):
    """A row of `prove_identifier` and `find_proof`."""

    verdict: str
    challenge_id: str | None
    attempts_remaining: int | None
    retry_after: int | None
    revoked_sessions: list[str] | None
    live_sessions: list[str] | None
    events: str | None


class ProofKey(NamedTuple):
    """Parameters of `find_proof`."""

    tenant_id: str
    user_id: str
    event_id: str
    other_event_id: str


class RemoveRow(NamedTuple):
    """Parameters of `remove_identifier`."""

    tenant_id: str
    user_id: str
    session_id: str
    type: str
    notice_id: str
    notice_channels: list[str]
    event_id: str
    actor: str
    request_id: str | None
    network: str | None


class VerdictRow(NamedTuple):
    """A row of `remove_identifier`."""

    verdict: str
    events: str | None


class RevokeChannel(NamedTuple):
    """Parameters of `revoke_channel_sessions`."""

    tenant_id: str
    user_id: str
    channel: str
    reason: str
    event_id: str
    actor: str
    request_id: str | None
    network: str | None


class RevokedRow(NamedTuple):
    """A row of `revoke_channel_sessions`."""

    sessions: list[str]
    events: str | None


class AccountAfter(NamedTuple):
    """A row of `account_after`."""

    sessions: list[str]
    is_crowded: bool


PROVE_IDENTIFIER = function("prove_identifier", ProveRow, ProofRow)
FIND_METADATA_CHANGE = _QUERIES.statement("find_metadata_change", MetadataChangeKey, MergedRow)
CHANGE_USER_METADATA = _QUERIES.statement("change_user_metadata", ChangeMetadata, MergedRow)
FIND_PROOF = _QUERIES.statement("find_proof", ProofKey, ProofRow)
REMOVE_IDENTIFIER = _QUERIES.statement("remove_identifier", RemoveRow, VerdictRow)
REVOKE_CHANNEL_SESSIONS = _QUERIES.statement("revoke_channel_sessions", RevokeChannel, RevokedRow)
ACCOUNT_AFTER = _QUERIES.statement("account_after", UserKey, AccountAfter)
