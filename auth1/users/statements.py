"""The types of the statements of users: parameters and rows, by the names that SQL gives them."""

from datetime import datetime
from typing import NamedTuple

from auth1.core.postgres import NoParams, Queries
from auth1.events.log import RecordedEvents
from auth1.identifiers import IdentifierType
from auth1.row_keys import IdentifierKey, IdRow, UserKey

_QUERIES = Queries("users")


class ListUsers(NamedTuple):
    """Parameters of `list_users`."""

    tenant_id: str
    before: str
    max_rows: int


class UserRow(NamedTuple):
    """A row of `list_users`."""

    id: str
    phone: str | None
    email: str | None
    external_id: str | None
    created_at: datetime
    last_login_at: datetime | None
    banned_until: datetime | None
    ban_reason: str | None
    unverified_phone: str | None
    unverified_email: str | None
    metadata: str
    user_metadata: str


class FindUsers(NamedTuple):
    """Parameters of `find_users`."""

    tenant_id: str
    ids: list[str]


class FindUserByExternalId(NamedTuple):
    """Parameters of `find_user_by_external_id`."""

    tenant_id: str
    external_id: str


class FindUsersByPrefix(NamedTuple):
    """Parameters of `find_users_by_prefix`."""

    tenant_id: str
    first_identifier: str
    last_identifier: str
    first_external_id: str
    last_external_id: str
    after: str
    after_kind: int
    max_rows: int


class FindUsersByPrefixRow(NamedTuple):
    """A row of `find_users_by_prefix`."""

    found: str
    kind: int
    id: str


class FindRecentUsersByMetadata(NamedTuple):
    """Parameters of `find_recent_users_by_metadata`."""

    tenant_id: str
    metadata: str
    before: str
    max_recent: int
    max_rows: int


class FindRecentUsersByMetadataRow(NamedTuple):
    """A row of `find_recent_users_by_metadata`."""

    ids: list[str]
    looked: int


class FindUsersByMetadata(NamedTuple):
    """Parameters of `find_users_by_metadata`."""

    tenant_id: str
    metadata: str
    before: str
    max_rows: int


class LockOwners(NamedTuple):
    """Parameters of `lock_owners`."""

    tenant_id: str
    identifiers: list[str]
    external_ids: list[str]


class LockOwnersRow(NamedTuple):
    """A row of `lock_owners`."""

    name: str
    user_id: str
    external_id: str | None
    is_external: bool


class CreateUsers(NamedTuple):
    """Parameters of `create_users`."""

    tenant_id: str
    ids: list[str]
    external_ids: list[str | None]
    metadata: list[str]
    user_metadata: list[str]
    created_at: list[datetime | None]
    banned_until: list[datetime | None] | None
    ban_reasons: list[str | None]
    unverified_phones: list[str | None]
    unverified_emails: list[str | None]
    owner_ids: list[str]
    identifiers: list[str]
    event_id: str | None
    actor: str
    request_id: str | None
    network: str | None
    types: list[str]


class CreateUsersRow(NamedTuple):
    """A row of `create_users`."""

    claimed: int
    events: str | None


class LockUserIdentifiers(NamedTuple):
    """Parameters of `lock_user_identifiers`."""

    tenant_id: str
    user_id: str | None
    identifiers: list[str]
    types: list[str]


class LockUserIdentifiersRow(NamedTuple):
    """A row of `lock_user_identifiers`."""

    identifier: str
    user_id: str | None
    type: IdentifierType


class IdentifierList(NamedTuple):
    """Parameters of `cancel_user_challenges`."""

    tenant_id: str
    identifiers: list[str]


class LockUserRow(NamedTuple):
    """A row of `lock_user`."""

    metadata: str
    user_metadata: str
    external_id: str | None


class UpdateUser(NamedTuple):
    """Parameters of `update_user`."""

    tenant_id: str
    user_id: str
    metadata: str
    user_metadata: str
    external_id: str | None
    gets: list[str]
    loses: list[str]
    event_id: str
    actor: str
    request_id: str | None
    network: str | None
    changed: list[str]


class BanUser(NamedTuple):
    """Parameters of `ban_user`."""

    tenant_id: str
    user_id: str
    until: datetime | None
    reason: str | None
    event_id: str
    actor: str
    request_id: str | None
    network: str | None


class UnbanUser(NamedTuple):
    """Parameters of `unban_user`."""

    tenant_id: str
    user_id: str
    event_id: str
    actor: str
    request_id: str | None
    network: str | None


class RecordImport(NamedTuple):
    """Parameters of `record_import`."""

    tenant_id: str
    event_id: str
    actor: str
    request_id: str | None
    network: str | None
    counts: str


class ExportUsers(NamedTuple):
    """Parameters of `export_users`."""

    tenant_id: str
    after: str
    max_rows: int


LOCK_ACCOUNT = _QUERIES.statement("lock_account", UserKey, NoParams)
LIST_USERS = _QUERIES.statement("list_users", ListUsers, UserRow)
FIND_USERS = _QUERIES.statement("find_users", FindUsers, UserRow)
FIND_USER_BY_IDENTIFIER = _QUERIES.statement("find_user_by_identifier", IdentifierKey, IdRow)
FIND_USER_BY_EXTERNAL_ID = _QUERIES.statement("find_user_by_external_id", FindUserByExternalId, IdRow)
FIND_USERS_BY_PREFIX = _QUERIES.statement("find_users_by_prefix", FindUsersByPrefix, FindUsersByPrefixRow)
FIND_RECENT_USERS_BY_METADATA = _QUERIES.statement(
    "find_recent_users_by_metadata", FindRecentUsersByMetadata, FindRecentUsersByMetadataRow
)
FIND_USERS_BY_METADATA = _QUERIES.statement("find_users_by_metadata", FindUsersByMetadata, IdRow)
LOCK_OWNERS = _QUERIES.statement("lock_owners", LockOwners, LockOwnersRow)
CREATE_USERS = _QUERIES.statement("create_users", CreateUsers, CreateUsersRow)
LOCK_USER_IDENTIFIERS = _QUERIES.statement("lock_user_identifiers", LockUserIdentifiers, LockUserIdentifiersRow)
CANCEL_USER_CHALLENGES = _QUERIES.statement("cancel_user_challenges", IdentifierList, NoParams)
LOCK_USER = _QUERIES.statement("lock_user", UserKey, LockUserRow)
UPDATE_USER = _QUERIES.statement("update_user", UpdateUser, RecordedEvents)
LIST_LIVE_SESSIONS = _QUERIES.statement("list_live_sessions", UserKey, IdRow)
BAN_USER = _QUERIES.statement("ban_user", BanUser, RecordedEvents)
UNBAN_USER = _QUERIES.statement("unban_user", UnbanUser, RecordedEvents)
RECORD_IMPORT = _QUERIES.statement("record_import", RecordImport, RecordedEvents)
EXPORT_USERS = _QUERIES.statement("export_users", ExportUsers, UserRow)
