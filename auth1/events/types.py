"""Every type of event: a closed set, listed in docs/errors-and-events.md. SQL statements insert the rows."""

from enum import StrEnum
from typing import NamedTuple

from auth1.core.log import Log


class EventType(StrEnum):
    """What can have happened. The comment says what `subject` names."""

    CHALLENGE_OPENED = "challenge.opened"  # challenge: a code was made and is on its way
    CHALLENGE_REPEATED = "challenge.repeated"  # challenge: the same code is on its way again
    CHALLENGE_ANSWERED = "challenge.answered"  # challenge: the right code; a session was opened
    LINK_CONFIRMED = "link.confirmed"  # challenge: its link was confirmed, and is yet to be redeemed
    CHALLENGE_ATTEMPT_FAILED = "challenge.attempt_failed"  # challenge: a wrong code
    REQUEST_BLOCKED = "request.blocked"  # the event itself: fraud rules refused a request
    MESSAGE_DELIVERED = "message.delivered"  # message: its provider reports that it arrived
    MESSAGE_FAILED = "message.failed"  # message: every provider refused it, or it did not arrive
    MESSAGE_RETRIED = (
        "message.retried"  # message: it did not arrive, and another provider is sending the code once more
    )
    MESSAGE_UNKNOWN = "message.unknown"  # message: it may have been sent or not, or nobody reports whether it arrived
    IDENTIFIER_ADDED = "identifier.added"  # user: it has proven a phone or an email, and can log in by it
    IDENTIFIER_CHANGED = "identifier.changed"  # user: so, too, and the one it had before is let go
    IDENTIFIER_REMOVED = "identifier.removed"  # user
    IDENTIFIER_CONFLICT = "identifier.conflict"  # user: the right code, but the phone or email is somebody else's
    USER_CREATED = "user.created"  # user: somebody's first login, or made by its tenant
    USER_UPDATED = "user.updated"  # user: `changed` says what of it, not how
    USER_BANNED = "user.banned"  # user: its sessions were ended
    USER_UNBANNED = "user.unbanned"  # user
    USER_ERASED = "user.erased"  # user: its id is all that is left
    USERS_IMPORTED = "users.imported"  # tenant: its users came from elsewhere
    SESSION_REVOKED = "session.revoked"  # session: it was ended before its time; `reason` says why
    USER_SESSIONS_REVOKED = "user.sessions_revoked"  # user: several of its sessions were ended
    LOGIN_DENIED = "login.denied"  # challenge: the right code, but the user is banned
    TENANT_CREATED = "tenant.created"  # tenant
    TENANT_UPDATED = "tenant.updated"  # tenant: its name or its settings
    TENANT_SUSPENDED = "tenant.suspended"  # tenant
    TENANT_RESUMED = "tenant.resumed"  # tenant
    TENANT_DELETED = "tenant.deleted"  # tenant
    TENANT_SESSIONS_REVOKED = "tenant.sessions_revoked"  # tenant: all sessions of its users were ended
    TENANT_JWT_SECRET_VIEWED = "tenant.jwt_secret_viewed"  # noqa: S105  # an event: tenant: somebody has read its jwt_secret
    TENANT_JWT_SECRET_ROTATED = "tenant.jwt_secret_rotated"  # noqa: S105  # an event: tenant: its jwt_secret was replaced
    BUDGET_REACHED = "budget.reached"  # tenant: its messages or their price have come to a mark of today
    KEY_CREATED = "key.created"  # key
    KEY_UPDATED = "key.updated"  # key: its origins or its end
    KEY_ROTATED = "key.rotated"  # key: the old one ends with the overlap
    KEY_REVOKED = "key.revoked"  # key


class Event(NamedTuple):
    """One fact. `actor` is the id of a key or user, `operator`, `link` (whoever holds
    it), the provider that reports, or `auth1` itself."""

    id: str
    type: EventType
    tenant_id: str
    actor: str
    subject: str


def tell(log: Log, event: Event, request_id: str | None = None, **data: object) -> None:
    """Write an event that was committed to stdout."""
    log.event(
        event_id=event.id,
        type=event.type.value,
        tenant_id=event.tenant_id,
        actor=event.actor,
        subject=event.subject,
        request_id=request_id,
        data=data,
    )
