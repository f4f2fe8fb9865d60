"""What the description says that no source does: of credentials, parameters, headers and sections.

A new guard, parameter in a path or header needs one line here; the tests name what is missing.
"""

from typing import Any, NamedTuple

Json = dict[str, Any]

INTRODUCTION = """\
One-time codes by SMS and email, magic links, sessions and signed tokens, for many tenants.

**Bodies** are JSON in UTF-8, at most 16 KiB; unknown fields are refused; of a key given twice the last one counts.
Times are RFC 3339 in UTC; durations are in seconds and end in `_in` or `_after`.

**Refusals** are `application/problem+json` (RFC 9457) with one of a closed set of codes. Those that can meet any
request (`bad_request`, `uri_too_long`, `unavailable`, `internal_error`) are described with each operation. A path that
does not exist answers 404 `not_found`; a method that a path does not answer 405 `method_not_allowed`, with `Allow`.
HEAD answers wherever GET does.

**Limits** are told in `RateLimit-Policy` and `RateLimit` (IETF draft 10): what remains now, and in how many seconds
a slot returns. Every 429 says in `Retry-After` how long to wait.

**Lists** answer `data` and `next_cursor`; give that as `cursor` to read on, until it is null.

**Web pages** may call from the origins that the operator and the key allow (CORS). Credentials are headers, never
cookies.
"""

# What each guard asks for: alternatives, each a set of schemes that are needed together.
_ANY_KEY: list[Json] = [{"publishableKey": []}, {"secretKey": []}, {"testKey": []}]
CREDENTIALS: dict[str, list[Json]] = {
    "anyone": [],
    "person_at_the_door": [],
    "tenant_at_the_door": _ANY_KEY,
    "tenant_who_polls": _ANY_KEY,
    "server": [{"secretKey": []}, {"testKey": []}],
    "manager": [{"secretKey": []}],
    "logged_in": [{**key, "sessionToken": []} for key in _ANY_KEY],
    "logged_in_at_the_door": [{**key, "sessionToken": []} for key in _ANY_KEY],
    "operator": [{"adminToken": []}],
    "operator_of_tenant": [{"adminToken": []}],
    "scraper": [{}, {"metricsToken": []}],
}

SCHEMES: dict[str, Json] = {
    "publishableKey": {
        "type": "apiKey",
        "in": "header",
        "name": "x-api-key",
        "description": "`auth1_pk_…`: safe in a browser or an app. Limited per client address and to its origins.",
    },
    "secretKey": {
        "type": "apiKey",
        "in": "header",
        "name": "x-api-key",
        "description": "`auth1_sk_…`: for your servers. It is exempt from limits per address, and may name the person's"
        " in `auth1-forwarded-for`.",
    },
    "testKey": {
        "type": "apiKey",
        "in": "header",
        "name": "x-api-key",
        "description": "`auth1_test_…`: the sandbox. Nothing is sent, and magic numbers choose the outcome.",
    },
    "sessionToken": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "The `token` of a user's session.",
    },
    "adminToken": {"type": "http", "scheme": "bearer", "description": "The operator's ADMIN_TOKEN."},
    "metricsToken": {"type": "http", "scheme": "bearer", "description": "The operator's METRICS_TOKEN."},
}
# The headers that credentials travel in: described as schemes, not as parameters.
CREDENTIAL_HEADERS = {"x-api-key", "authorization"}
# Headers that every client and browser sends by itself.
OF_HTTP = {"origin", "user-agent", "content-type", "content-length"}


class Section(NamedTuple):
    """A tag of the document: the operations of one slice."""

    name: str
    description: str


# By the slice of the handler. One that is not named here is called by its own name.
SECTIONS: dict[str, Section] = {
    "challenges": Section("Logging in", "Ask for a code or a link, and answer with it."),
    "sessions": Section("Sessions and tokens", "Refresh, log out, and check tokens."),
    "users": Section("Users", "The users of a tenant."),
    "account": Section("Account", "What a user may see and change of their own."),
    "tenants": Section("Tenants and keys", "What the operator manages, and what a tenant manages with its secret key."),
    "messaging": Section("Messages", "What was sent, and what became of it."),
    "webhooks": Section("Webhooks", "Events, delivered to you."),
    "fraud": Section("Fraud", "Who gets no message."),
    "events": Section("Events", "What happened."),
    "health": Section("Health", "Is it well?"),
    "docs": Section("Description", "This description, for programs and for people."),
}

# Paths that a reader looks for in another section than that of the slice that answers them.
ELSEWHERE: dict[str, str] = {
    "/api/auth/me": "account",
    "/api/*/messages": "messaging",
    "/api/*/statistics": "messaging",
}

# Parameters in paths: what they are, and an example.
PARAMETERS: dict[str, tuple[str, str]] = {
    "tenant_id": ("The tenant.", "tn_abc123"),
    "key_id": ("The key.", "key_01jd8k2m4n6p8q0r2s4t6v8w0x"),
    "challenge_id": ("The challenge, as `/api/auth/request` answered it.", "ch_01jd8k2m4n6p8q0r2s4t6v8w0x"),
    "token": ("What the link in the email ends in.", "nX2vC0mQ9sL4tR7yB1dF6hJ3kP8wZ5aE0gU2iO4xV6c"),
    "user_id": ("The user.", "usr_xyz789"),
    "session_id": ("The session.", "ses_01jd8k2m4n6p8q0r2s4t6v8w0x"),
    "message_id": ("The message.", "msg_01jd8k2m4n6p8q0r2s4t6v8w0x"),
    "webhook_id": ("The webhook.", "whk_01jd8k2m4n6p8q0r2s4t6v8w0x"),
    "delivery_id": ("The delivery of an event.", "whd_01jd8k2m4n6p8q0r2s4t6v8w0x"),
    "identifier": ("The phone or email.", "+15551234567"),
    "type": ("Which of the user's identifiers: `phone` or `email`.", "phone"),
    "import_id": ("The import.", "imp_01jd8k2m4n6p8q0r2s4t6v8w0x"),
}

# Headers of requests that a guard or handler reads, beside credentials.
REQUEST_HEADERS: dict[str, str] = {
    "auth1-forwarded-for": "With a secret key: the address of the person that you call for, which limits per address"
    " use then.",
    "idempotency-key": "A name of your own for this request (up to 255 characters, a UUID, say). Sent again with the"
    " same body within 24 hours, it gets the same answer, and nothing is done twice.",
    "x-twilio-signature": "Twilio's signature over address and form.",
    "x-twilio-webhooks-signature-settings": "Which digest the signature uses.",
    "accept-encoding": "`gzip` gets the document compressed.",
    "if-none-match": "The `ETag` of what you have already.",
}

RESPONSE_HEADERS: dict[str, str] = {
    "x-request-id": "Finds this request in the log: yours, if it was sane, or a new one.",
    "cache-control": "Whether this may be kept.",
    "ratelimit-policy": "The limits of this route: slots `q` in `w` seconds.",
    "ratelimit": "What is left of each: `r` slots; in `t` seconds one returns.",
    "allow": "The methods that this path answers.",
    "retry-after": "Seconds to wait before asking again.",
    "www-authenticate": "Which credential is needed.",
    "location": "Where to go from here.",
    "content-security-policy": "What the page may load: nothing from elsewhere.",
    "referrer-policy": "The page's address is told to nobody.",
    "content-disposition": "The name of the file.",
    "idempotent-replayed": "Whether this is the answer to an earlier request of the same key.",
    "content-encoding": "`gzip`, where the client accepts it.",
    "etag": "Names this version.",
}

# Fields of answers that schemas give no example for. Those of the guide are the guide's own.
FIELDS: dict[str, object] = {
    "tenant_id": "tn_abc123",
    "api_key": "auth1_pk_myapp_d1617d338c62...",
    "secret_key": "auth1_sk_myapp_5b0c7a91e2f4...",
    "test_key": "auth1_test_myapp_8e3d6f20a7b9...",
    "jwt_secret": "q0vXb1nC...",
    "kid": "tn_abc123.2",
    "issuer": "https://auth.example.com",
    "jwks_uri": "https://auth.example.com/.well-known/jwks.json",
    "introspection_endpoint": "https://auth.example.com/api/auth/introspect",
    "code": "482913",
    "hint": "auth1_pk_myapp_…9f3K",
    "key_id": "key_01jd8k2m4n6p8q0r2s4t6v8w0x",
    "challenge_id": "ch_01jd8k2m4n6p8q0r2s4t6v8w0x",
    "challenge_secret": "pT4hW9zK2vM7cX0bN5qL8sD1fG3jR6yA9eU2iO4tV7w",
    "message_id": "msg_01jd8k2m4n6p8q0r2s4t6v8w0x",
    "user_id": "usr_xyz789",
    "session_id": "ses_01jd8k2m4n6p8q0r2s4t6v8w0x",
    "event_id": "evt_01jd8k2m4n6p8q0r2s4t6v8w0x",
    "webhook_id": "whk_01jd8k2m4n6p8q0r2s4t6v8w0x",
    "token": "eyJhbGciOiJIUzI1NiIs...",
    "refresh_token": "ses_01jd8k2m4n6p8q0r2s4t6v8w0x.9sL4tR7y...",
    "expires_in": 900,
    "CodeSent.expires_in": 600,
    "Health.status": "healthy",
    "is_new_user": True,
    "name": "My App",
    "slug": "myapp",
    "locale": "en",
    "text": "Your MyApp verification code is: 123456. Expires in 10 minutes.",
    "encoding": "GSM-7",
    "units": 62,
    "segments": 1,
    "channel": "sms",
    "destination": "+1•••••••567",
    "resend_after": 30,
    "code_length": 6,
    "status": "sent",
    "provider": "twilio",
    "error": None,
    "phone": "+15551234567",
    "email": "somebody@example.com",
    "suspended_at": None,
    "revoked_at": None,
    "banned_until": None,
    "next_cursor": None,
    "uptime": 847293,
    "database": "connected",
    "redis": "connected",
    "version": "2.4.1",
    "memory_mb": 78,
    "providers": {"twilio": "ok", "sns": "ok"},
    "ready": True,
    "alive": True,
    "reason": None,
    "request_id": "req_01jd8k2m4n6p8q0r2s4t6v8w0x",
}
MOMENT = "2026-01-15T09:30:00Z"
