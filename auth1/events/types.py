"""Every type of event: a closed set, listed in docs/errors-and-events.md. SQL statements insert the rows.

An event names people by ids only: no code, key, address or complete identifier. `python -m tests.docs.events_table`
writes the list of the documentation from here, and a test compares it.
"""

from enum import StrEnum

MAX_DATA_BYTES = 16 * 1024

# The fields of `data`. The sandbox has the same ones.
FIELDS = {
    "attempts_remaining": "wrong codes that are still allowed",
    "before": "events before this moment are deleted",
    "before_id": "the same as an id of events",
    "began_at": "when the attack began",
    "budget": "`messages_per_day` or `sms_budget_per_day`",
    "canonical": "whether the issuer of the tenant is at this host",
    "challenge_id": "the challenge",
    "changed": "names of the changed fields, without values",
    "channel": "`sms` or `email`",
    "client_id": "the application",
    "country": "of the phone number; null for an email",
    "created": "number of created users",
    "decision": "`block`, `other_channel` or `proof_required`",
    "dollars": "spent today",
    "entry_id": "the entry of a list that follows; null: none",
    "error": "why it failed; null if unknown",
    "events": "types of events, or `*`",
    "existing": "number of users that existed before",
    "grants": "number of ended grants",
    "host": "the name of the host",
    "is_new_user": "whether the user was created by this login",
    "is_set": "false: it was deleted",
    "kind": "of a key: `pk`, `sk` or `test`; of a list entry: `number`, `country` …; of an application: `web` …",
    "list": "`allow` or `block`",
    "load": "exposure divided by allowance",
    "mark": "`soft` or `hard`",
    "message_id": "the message",
    "messages": "sent today",
    "metadata": "what the app sent with the request",
    "new_key_id": "the key that replaces it",
    "provider": "the provider of the message",
    "purpose": "`identifier`: it adds one to an account; absent for a login",
    "reason": "the cause",
    "reasons": "the rules that decided",
    "rejected": "number of rejected lines or requests",
    "saved": "dollars that were not spent",
    "scope": "the kind of scope: block, network, country …",
    "scopes": "of the consent",
    "session_id": "the session",
    "sessions": "number of ended sessions",
    "subject": "the block, network or country",
    "suppressed": "`sign_up_closed`: no code was sent",
    "until": "end of the ban; null: without an end",
    "unverified": "number of users with a phone or email that is profile data",
    "user_id": "the user",
    "version": "of the signing secret",
    "was": "`honest` or `fraud`",
}


class EventType(StrEnum):
    """The types of events: name, kind of `subject`, condition, and the fields of `data`."""

    subject: str
    condition: str
    fields: tuple[str, ...]

    def __new__(cls, name: str, subject: str, condition: str, data: str = "") -> "EventType":
        """Create a type from its name; `data` lists fields of FIELDS."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.subject, member.condition, member.fields = subject, condition, tuple(data.split())
        return member

    CHALLENGE_OPENED = (
        "challenge.opened",
        "challenge",
        "a code was created and accepted for sending",
        "channel country metadata purpose suppressed",
    )
    CHALLENGE_REPEATED = (
        "challenge.repeated",
        "challenge",
        "the same code is sent again",
        "channel country metadata purpose suppressed",
    )
    CHALLENGE_ANSWERED = (
        "challenge.answered",
        "challenge",
        "the right code; a session was opened",
        "user_id session_id is_new_user",
    )
    LINK_CONFIRMED = "link.confirmed", "challenge", "its link was confirmed, and can be redeemed", "message_id"
    CHALLENGE_ATTEMPT_FAILED = "challenge.attempt_failed", "challenge", "a wrong code", "attempts_remaining"
    REQUEST_BLOCKED = (
        "request.blocked",
        "decision",
        "fraud rules rejected a request",
        "channel country decision reasons",
    )
    REQUEST_PROOF_REQUIRED = (
        "request.proof_required",
        "decision",
        "a request needs a proof, such as proof of work",
        "channel country decision reasons",
    )
    ATTACK_DETECTED = (
        "attack.detected",
        "tenant",
        "a scope has rejected several requests; again each hour",
        "scope subject rejected load",
    )
    ATTACK_ENDED = (
        "attack.ended",
        "tenant",
        "the scope has rejected no request for an hour",
        "scope subject rejected began_at saved",
    )
    MESSAGE_DELIVERED = (
        "message.delivered",
        "message",
        "its provider reports the delivery",
        "challenge_id provider error",
    )
    MESSAGE_FAILED = (
        "message.failed",
        "message",
        "every provider rejected it, or it was not delivered",
        "challenge_id provider error",
    )
    MESSAGE_RETRIED = (
        "message.retried",
        "message",
        "it was not delivered, and another provider sends the code again",
        "challenge_id provider reason message_id",
    )
    MESSAGE_UNKNOWN = (
        "message.unknown",
        "message",
        "whether it was sent or delivered is unknown",
        "challenge_id provider error",
    )
    IDENTIFIER_ADDED = (
        "identifier.added",
        "user",
        "it verified a phone or email, and can log in with it",
        "channel challenge_id",
    )
    IDENTIFIER_CHANGED = (
        "identifier.changed",
        "user",
        "the same, and the previous phone or email was removed",
        "channel challenge_id",
    )
    IDENTIFIER_REMOVED = "identifier.removed", "user", "it can no longer log in with it", "channel"
    IDENTIFIER_CONFLICT = (
        "identifier.conflict",
        "user",
        "the right code, but the phone or email belongs to another user",
        "channel challenge_id",
    )
    USER_CREATED = "user.created", "user", "the first login, or created by the tenant", "challenge_id"
    USER_UPDATED = "user.updated", "user", "its fields changed", "changed"
    USER_BANNED = "user.banned", "user", "its sessions were ended", "until"
    USER_UNBANNED = "user.unbanned", "user", "it can log in again"
    USER_ERASED = "user.erased", "user", "only its id remains"
    USERS_IMPORTED = (
        "users.imported",
        "tenant",
        "users of another system were imported",
        "created existing rejected unverified",
    )
    SESSION_REVOKED = "session.revoked", "session", "it ended before its expiry", "user_id reason"
    USER_SESSIONS_REVOKED = "user.sessions_revoked", "user", "several of its sessions were ended", "sessions reason"
    LOGIN_DENIED = "login.denied", "challenge", "the right code, but the user is banned", "user_id"
    TENANT_CREATED = "tenant.created", "tenant", "it was created"
    TENANT_UPDATED = "tenant.updated", "tenant", "its name or its settings", "changed"
    TENANT_SUSPENDED = "tenant.suspended", "tenant", "its keys are rejected"
    TENANT_RESUMED = "tenant.resumed", "tenant", "its keys work again"
    TENANT_MOVED = "tenant.moved", "tenant", "its rows moved to another database, which serves it"
    TENANT_DELETED = "tenant.deleted", "tenant", "its keys ended"
    TENANT_SESSIONS_REVOKED = "tenant.sessions_revoked", "tenant", "all sessions of its users were ended"
    TENANT_JWT_SECRET_VIEWED = "tenant.jwt_secret_viewed", "tenant", "its jwt_secret was read"
    TENANT_JWT_SECRET_ROTATED = "tenant.jwt_secret_rotated", "tenant", "its jwt_secret was replaced", "version"
    BUDGET_REACHED = (
        "budget.reached",
        "tenant",
        "its messages or costs of today reached a limit",
        "mark budget messages dollars",
    )
    FRAUD_LIST_ENTRY_ADDED = "fraud.list_entry_added", "entry", "it was added to an allow or block list", "list kind"
    FRAUD_LIST_ENTRY_REMOVED = "fraud.list_entry_removed", "entry", "it was removed from its list", "list kind"
    FRAUD_FEEDBACK_GIVEN = (
        "fraud.feedback_given",
        "decision",
        "the tenant reported it as honest or as fraud",
        "was entry_id",
    )
    FRAUD_POLICY_UPDATED = "fraud.policy_updated", "tenant or `operator`", "the fraud policy changed", "changed"
    HOOK_UPDATED = "hook.updated", "hook", "a blocking hook was created, changed or deleted", "changed is_set"
    KEY_CREATED = "key.created", "key", "it was created", "kind"
    KEY_UPDATED = "key.updated", "key", "its origins or its end", "changed"
    KEY_ROTATED = "key.rotated", "key", "the old one ends with the overlap", "new_key_id"
    KEY_REVOKED = "key.revoked", "key", "it ended at once"
    APPLICATION_CREATED = "application.created", "application", "an OAuth client was registered", "kind"
    APPLICATION_UPDATED = "application.updated", "application", "its fields, state or secret changed", "changed"
    APPLICATION_DELETED = "application.deleted", "application", "its access tokens are no longer active"
    APPLICATION_LOGOUT_FAILED = (
        "application.logout_failed",
        "application",
        "a session ended, and the address for logouts did not accept it in three attempts",
        "user_id session_id error",
    )
    HOST_ADDED = "host.added", "host", "it was added, and is not verified yet", "host"
    HOST_VERIFIED = "host.verified", "host", "its TXT record was found", "host"
    HOST_UPDATED = "host.updated", "host", "it is the canonical one, or no longer", "host canonical"
    HOST_REMOVED = "host.removed", "host", "it is no longer served", "host"
    CONSENT_REVOKED = "consent.revoked", "user", "the access of an application to the account ended", "client_id grants"
    CONSENT_GIVEN = "consent.given", "user", "it allows an application to use scopes", "client_id scopes"
    GRANT_CREATED = (
        "grant.created",
        "grant",
        "an application exchanged the code of a login for tokens",
        "user_id session_id client_id",
    )
    GRANT_REVOKED = (
        "grant.revoked",
        "grant",
        "its tokens ended: by the application (`revoked_by_client`), because a code or an old refresh token was used"
        " again (`code_reused`, `token_reused`), or because a session had over 100 of the application (`replaced`)",
        "user_id reason",
    )
    WEBHOOK_CREATED = "webhook.created", "webhook", "it was created", "events"
    WEBHOOK_UPDATED = "webhook.updated", "webhook", "its URL, events, state or secret changed", "changed"
    WEBHOOK_DISABLED = (
        "webhook.disabled",
        "webhook",
        "its endpoint answered 410 (`gone`), or nothing but failures for five days (`failing`)",
        "reason",
    )
    WEBHOOK_DELETED = "webhook.deleted", "webhook", "it was deleted"
    AUDIT_PURGED = "audit.purged", "tenant", "its older events are deleted", "before before_id reason"
