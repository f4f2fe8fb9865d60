"""Requests and responses of user management."""

from datetime import UTC, datetime
from typing import Annotated

import msgspec

from auth1.core.schemas import ONE_LINE, In, Out
from auth1.core.timestamps import Timestamp
from auth1.users.metadata import Metadata

PERMANENT = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)  # how a ban without an end is written
FIRST_YEAR = 1900  # in which another system may have created a user

_Raw = Annotated[str, msgspec.Meta(max_length=254)]  # parse_identifier says what it may be
ExternalId = Annotated[
    str, msgspec.Meta(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f-\x9f]+\Z", extra=ONE_LINE)
]
Reason = Annotated[
    str, msgspec.Meta(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f-\x9f]+\Z", extra=ONE_LINE)
]


class UserIn(In):
    """A new user with a phone, an email or both, which the tenant has verified. `created_at` is for imported users."""

    phone: _Raw | None = None
    email: Annotated[_Raw, msgspec.Meta(examples=["ada@myapp.example.com"])] | None = None
    external_id: ExternalId | None = None
    metadata: Metadata = msgspec.field(default_factory=dict)
    user_metadata: Metadata = msgspec.field(default_factory=dict)
    created_at: Timestamp | None = None


class UserPatch(In):
    """Changes of a user. Metadata are merged; null removes a key. A phone or email replaces the current one, and null
    removes it. The last one cannot be removed.
    """

    phone: _Raw | msgspec.UnsetType | None = msgspec.UNSET
    email: _Raw | msgspec.UnsetType | None = msgspec.UNSET
    external_id: ExternalId | msgspec.UnsetType | None = msgspec.UNSET
    metadata: Metadata | msgspec.UnsetType = msgspec.UNSET
    user_metadata: Metadata | msgspec.UnsetType = msgspec.UNSET


class Ban(In):
    """A ban; permanent without `until`."""

    reason: Reason | None = None
    until: Timestamp | None = None


class UserOut(Out):
    """A user.

    `banned_until` is null without a ban, and 9999-12-31T23:59:59Z for a ban without an end. `unverified_phone` and
    `unverified_email` come from an import: profile data, not a login.
    """

    user_id: str
    phone: str | None
    email: str | None
    external_id: str | None
    created_at: datetime
    last_login_at: datetime | None
    banned_until: datetime | None
    ban_reason: str | None
    unverified_phone: str | None
    unverified_email: str | None
    metadata: msgspec.Raw
    user_metadata: msgspec.Raw


class UserPage(Out):
    """A page of users, newest first; with `q` by the found text. `next_cursor` is for the next page."""

    data: list[UserOut]
    next_cursor: str | None


class ExportedIdentifier(Out):
    """A phone or email, with the times of recent sends and wrong codes."""

    identifier: str
    channel: str
    sent_at: list[datetime]
    wrong_at: list[datetime]


class ExportedSession(Out):
    """A session, live or ended. `network` is the /24 (IPv6: /48) of its login."""

    session_id: str
    channel: str
    device_name: str | None
    user_agent: str | None
    network: str | None
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    revoked_at: datetime | None


class ExportedChallenge(Out):
    """One challenge. The code is not stored."""

    challenge_id: str
    identifier: str
    status: str
    opened_at: datetime
    expires_at: datetime
    closed_at: datetime | None


class ExportedMessage(Out):
    """One SMS or email and its delivery state. Its text is not stored; a `notice` contains no code."""

    message_id: str
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


class ExportedEvent(Out):
    """A fact of the audit log that names the user, a session, a challenge or a message of the user."""

    event_id: str
    type: str
    created_at: datetime
    actor: str
    subject: str
    data: msgspec.Raw


class ExportedConsent(Out):
    """Scopes that the user allowed to an application."""

    client_id: str
    scopes: list[str]
    granted_at: datetime
    revoked_at: datetime | None


class ExportedGrant(Out):
    """The access that an application got by one login of the user. Its tokens are not stored."""

    grant_id: str
    client_id: str
    session_id: str
    scopes: list[str]
    created_at: datetime
    refreshed_at: datetime | None
    expires_at: datetime
    revoked_at: datetime | None


class UserExport(Out):
    """All data of one user (GDPR, articles 15 and 20): the newest 1000 of each kind.

    `complete` is false if there are more.
    """

    user: UserOut
    identifiers: list[ExportedIdentifier]
    sessions: list[ExportedSession]
    consents: list[ExportedConsent]
    grants: list[ExportedGrant]
    challenges: list[ExportedChallenge]
    messages: list[ExportedMessage]
    events: list[ExportedEvent]
    complete: bool


class RejectedLine(Out):
    """A line that was not imported, counted from 1, and the reason. `last_line` ends a range of lines."""

    line: int
    reason: str
    last_line: int | msgspec.UnsetType = msgspec.UNSET

    @property
    def lines(self) -> int:
        """Return the number of lines that were not imported."""
        return 1 if self.last_line is msgspec.UNSET else self.last_line - self.line + 1


class ImportResult(Out):
    """The result of an import: `read` = `created` + `existing` + `skipped` + `rejected`.

    `existing` users are left unchanged; `skipped` lines are blank. `unverified` of the created users have a phone or
    email that is profile data, not a login.
    """

    read: int = 0
    created: int = 0
    existing: int = 0
    skipped: int = 0
    rejected: int = 0
    unverified: int = 0
    rejects: list[RejectedLine] = msgspec.field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """Return the numbers without the rejected lines."""
        return {name: getattr(self, name) for name in self.__struct_fields__ if name != "rejects"}

    def add(self, part: "ImportResult") -> None:
        """Add the numbers of a part."""
        for name, count in part.counts().items():
            setattr(self, name, getattr(self, name) + count)
