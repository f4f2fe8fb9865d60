"""Every type of event: a closed set, listed in docs/errors-and-events.md. SQL statements insert the rows."""

from enum import StrEnum


class EventType(StrEnum):
    """The types of events. The comment is the kind of `subject` and the condition."""

    CHALLENGE_OPENED = "challenge.opened"  # challenge: a code was created and accepted for sending
    CHALLENGE_REPEATED = "challenge.repeated"  # challenge: the same code is sent again
    CHALLENGE_ANSWERED = "challenge.answered"  # challenge: the right code; a session was opened
    LINK_CONFIRMED = "link.confirmed"  # challenge: its link was confirmed, and can be redeemed
    CHALLENGE_ATTEMPT_FAILED = "challenge.attempt_failed"  # challenge: a wrong code
    REQUEST_BLOCKED = "request.blocked"  # decision: fraud rules rejected a request
    REQUEST_PROOF_REQUIRED = "request.proof_required"  # decision: a request needs a proof, such as proof of work
    ATTACK_DETECTED = "attack.detected"  # tenant: a scope has rejected several requests; again each hour
    ATTACK_ENDED = "attack.ended"  # tenant: the scope has rejected no request for an hour
    MESSAGE_DELIVERED = "message.delivered"  # message: its provider reports the delivery
    MESSAGE_FAILED = "message.failed"  # message: every provider rejected it, or it was not delivered
    MESSAGE_RETRIED = "message.retried"  # message: it was not delivered, and another provider sends the code again
    MESSAGE_UNKNOWN = "message.unknown"  # message: whether it was sent or delivered is unknown
    IDENTIFIER_ADDED = "identifier.added"  # user: it verified a phone or email, and can log in with it
    IDENTIFIER_CHANGED = "identifier.changed"  # user: the same, and the previous phone or email was removed
    IDENTIFIER_REMOVED = "identifier.removed"  # user
    IDENTIFIER_CONFLICT = "identifier.conflict"  # user: the right code, but the phone or email belongs to another user
    USER_CREATED = "user.created"  # user: the first login, or created by the tenant
    USER_UPDATED = "user.updated"  # user: `changed` has the changed fields, without values
    USER_BANNED = "user.banned"  # user: its sessions were ended
    USER_UNBANNED = "user.unbanned"  # user
    USER_ERASED = "user.erased"  # user: only its id remains
    USERS_IMPORTED = "users.imported"  # tenant: users of another system were imported
    SESSION_REVOKED = "session.revoked"  # session: it ended before its expiry; `reason` is the cause
    USER_SESSIONS_REVOKED = "user.sessions_revoked"  # user: several of its sessions were ended
    LOGIN_DENIED = "login.denied"  # challenge: the right code, but the user is banned
    TENANT_CREATED = "tenant.created"  # tenant
    TENANT_UPDATED = "tenant.updated"  # tenant: its name or its settings
    TENANT_SUSPENDED = "tenant.suspended"  # tenant
    TENANT_RESUMED = "tenant.resumed"  # tenant
    TENANT_DELETED = "tenant.deleted"  # tenant
    TENANT_SESSIONS_REVOKED = "tenant.sessions_revoked"  # tenant: all sessions of its users were ended
    TENANT_JWT_SECRET_VIEWED = "tenant.jwt_secret_viewed"  # noqa: S105  # an event: tenant: its jwt_secret was read
    TENANT_JWT_SECRET_ROTATED = "tenant.jwt_secret_rotated"  # noqa: S105  # an event: tenant: its jwt_secret was replaced
    BUDGET_REACHED = "budget.reached"  # tenant: its messages or costs of today reached a mark
    FRAUD_POLICY_UPDATED = "fraud.policy_updated"  # tenant or `operator`: `changed` has the changed fields
    KEY_CREATED = "key.created"  # key
    KEY_UPDATED = "key.updated"  # key: its origins or its end
    KEY_ROTATED = "key.rotated"  # key: the old one ends with the overlap
    KEY_REVOKED = "key.revoked"  # key
