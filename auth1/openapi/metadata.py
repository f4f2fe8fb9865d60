"""The texts of the API description that no source has: credentials, parameters, headers, sections, examples.

A new parameter in a path, or a new header, needs one line here. `auth1 openapi` names what is missing.
"""

from typing import Any, NamedTuple

import msgspec

from auth1.fraud.policy import FraudRules

Json = dict[str, Any]

INTRODUCTION = """\
One-time codes by SMS and email, magic links, sessions and signed tokens, for many tenants.

**Request bodies** are JSON in UTF-8 of at most 16 KiB. Unknown fields are rejected; of a repeated field the last one
counts. Times are RFC 3339 in UTC. Durations are in seconds and end in `_in` or `_after`.

**Errors** are `application/problem+json` (RFC 9457) with a `code` from a closed set. The description of each response
lists the codes of that operation. An unknown path is 404 `not_found`. A method that a path does not support is 405
`method_not_allowed`, with `Allow`. HEAD is supported wherever GET is.

**Rate limits** are shown in `RateLimit-Policy` and `RateLimit` (IETF draft 10). Every 429 has `Retry-After`.

**Lists** have `data` and `next_cursor`. Send that as `cursor` to get the next page, until it is null.

**Operators** can call every operation that has an `x-operator-path`: at that path, with the admin token, for the tenant
that the path names.

**Web pages** may call from the origins that the operator and the key allow (CORS). Credentials are headers, never
cookies. Only the pages of the hosted login use cookies; they accept no forms of other origins.
"""

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
        "description": "`auth1_sk_…`: for your servers. It is exempt from limits per client address, and may send the"
        " user's address in `auth1-forwarded-for`.",
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


class Section(NamedTuple):
    """A tag of the document."""

    name: str
    description: str


# By the package of the handler. A package that is not listed gives its own name.
SECTIONS: dict[str, Section] = {
    "challenges": Section("Sign in", "Request a code or a link, and submit the code."),
    "magic_links": Section("Sign in", "Request a code or a link, and submit the code."),
    "sessions": Section("Sessions and tokens", "Refresh, introspect and revoke."),
    "applications": Section("Applications", "OAuth clients: servers that act for themselves."),
    "hosts": Section("Hosts", "Hosts of your own for the issuer, the pages and the links of a tenant."),
    "hosted": Section("Hosted login", "The pages where users log in to an application. People open them in a browser."),
    "oauth": Section("Sessions and tokens", "Refresh, introspect and revoke."),
    "users": Section("Users", "The users of a tenant."),
    "user_transfer": Section("Users", "The users of a tenant."),
    "issuers": Section("OAuth", "The issuer of each tenant and of its sandbox: access tokens for applications."),
    "account": Section("Account", "A user's own profile, identifiers and sessions."),
    "tenants": Section("Tenants and keys", "Tenants, settings, API keys and signing secrets."),
    "hooks": Section("Hooks", "URLs that Auth1 calls before an action, and that can deny it."),
    "fraud": Section("Fraud", "Fraud policies, allow and block lists, decisions and simulation."),
    "messaging": Section("Messages", "Sent messages, delivery states and statistics."),
    "audit": Section("Events", "The audit log: events, their export, and the head of their chain of seals."),
    "webhooks": Section("Webhooks", "Endpoints that receive events, and the deliveries to them."),
    "health": Section("Health", "Probes and metrics."),
    "openapi": Section("API description", "This description, for programs and for people."),
}

# Paths in another section than that of their handler's package.
ELSEWHERE: dict[str, str] = {
    "/api/auth/me": "account",
    "/api/auth/me/*": "account",
    "/api/*/users/*": "users",
    "/api/callbacks/*": "messaging",
    "/t/*/login/*": "hosted",
    "/t/*/account": "hosted",
    "/t/*": "issuers",
    "/.well-known/oauth-authorization-server/*": "issuers",
}

# Parameters in paths: description and example.
PARAMETERS: dict[str, tuple[str, str]] = {
    "tenant_id": ("The tenant.", "tn_01kf0fv2j97zdx8sk1dzp7mxff"),
    "slug": ("The tenant's slug.", "myapp"),
    "client_id": ("The application.", "app_01kf0fv2qd8x7r3n5w1mzt9c4h"),
    "login_id": ("The login.", "li_01kf0fv2qd8x7r3n5w1mzt9c4h"),
    "host_id": ("The host.", "hst_01kf0fv2qd8x7r3n5w1mzt9c4h"),
    "key_id": ("The API key.", "key_01kf0fv2pjhdzzhmns4181skmx"),
    "challenge_id": ("The challenge, from the response of `/api/auth/request`.", "ch_01kf0fv2z4z60fen5rnweennx2"),
    "token": ("The last part of the link in the email.", "JedJceAYA99JkAfMrPWvbaWbfdqXsuRPAeGj3tcQMWs"),
    "user_id": ("The user.", "usr_01kf0fv2tvh73nvmmgx4kpch9w"),
    "digest": ("The digest of the image, from `logo` in the tenant's settings.", "8d1c4b0b6f7a4e55a1f0c2d93e7b6a10"),
    "session_id": ("The session.", "ses_01kf0fv37p8dmtqhn3ymsqjh1n"),
    "hook": ("The hook: `before_send`, `before_user_created` or `before_token`.", "before_send"),
    "entry_id": ("The entry of a list.", "fl_01kf0fv2qd8x7r3n5w1mzt9c4h"),
    "webhook_id": ("The webhook.", "whk_01kf0fv2qd8x7r3n5w1mzt9c4h"),
    "delivery_id": ("The delivery.", "dlv_01kf0fv3bz7w2m9q4x6c8v1n3t"),
    "section": ("The section, such as `users`, `errors` or `schemas`.", "sign-in"),
    "type": ("The type of the identifier: `phone` or `email`.", "phone"),
}

REQUEST_HEADERS: dict[str, str] = {
    "authorization": "The client's id and secret, by HTTP Basic, unless the form has them.",
    "auth1-forwarded-for": "With a secret key: the user's address, to which limits per client address then apply.",
    "idempotency-key": "A name for this request, such as a UUID, of at most 255 characters. The same request with the"
    " same key within 24 hours gets the same response, and nothing is done twice.",
    "x-twilio-signature": "Twilio's signature of address and form.",
    "x-twilio-webhooks-signature-settings": "The digest of Twilio's signature.",
    "accept-encoding": "With `gzip` the response is compressed.",
    "last-event-id": "The `id` of the last event that was received; the stream continues after it.",
    "if-none-match": "The `ETag` of the version that the client has.",
}

RESPONSE_HEADERS: dict[str, str] = {
    "x-request-id": "Identifies this request in the log: the client's own value if it is valid, or a new one.",
    "cache-control": "Whether the response may be cached.",
    "ratelimit-policy": "The rate limits of this route: `q` requests in `w` seconds.",
    "ratelimit": "For each rate limit the `r` requests that remain, and the `t` seconds until one is added.",
    "allow": "The methods of this path.",
    "retry-after": "Seconds to wait before the next request.",
    "www-authenticate": "The credential that is needed.",
    "location": "The address to open.",
    "content-security-policy": "The sources that the page may load.",
    "referrer-policy": "The page's address is not sent to other sites.",
    "set-cookie": "Cookies of the browser and of its session.",
    "x-accel-buffering": "`no`: a proxy passes each event on at once.",
    "content-disposition": "The name of the file.",
    "idempotent-replayed": "`true` for the response to an earlier request with the same Idempotency-Key.",
    "content-encoding": "`gzip` if the client accepts it.",
    "cross-origin-resource-policy": "Which pages may show the image.",
    "etag": "Identifies this version.",
}

# Examples of fields, recorded from the program with a fixed clock and seed. Tests read them with the program.
REQUEST_ID = "req_01kf0fv3g82qqwmats9qhmwraf"
FIELDS: dict[str, object] = {
    "tenant_id": "tn_01kf0fv2j97zdx8sk1dzp7mxff",
    "key_id": "key_01kf0fv2pjhdzzhmns4181skmx",
    "user_id": "usr_01kf0fv2tvh73nvmmgx4kpch9w",
    "challenge_id": "ch_01kf0fv2z4z60fen5rnweennx2",
    "message_id": "msg_01kf0fv33d9at17wtrxex9mt8y",
    "session_id": "ses_01kf0fv37p8dmtqhn3ymsqjh1n",
    "event_id": "evt_01kf0fv3bznk9jayq84cstkf4c",
    "request_id": REQUEST_ID,
    "type": "challenge.answered",
    "actor": "key_01kf0fv2pjhdzzhmns4181skmx",
    "subject": "ch_01kf0fv2z4z60fen5rnweennx2",
    "network": "203.0.113.0/24",
    "head": "5d41f1e3c2b09a7788f6e5d4c3b2a190f0e1d2c3b4a5968778695a4b3c2d1e0f",
    "mac": "0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9",
    "key": "7a11c0de",
    "seq": 42,
    "unsealed": 3,
    "api_key": "auth1_pk_myapp_adgg7g7nu9ysA4af6SBgQxrbsWvav0Dj1TqEgr",
    "secret_key": "auth1_sk_myapp_dHK5Kc2j0PJJvUDHyDETJ8Y95jeeHfKB4XBrIy",
    "test_key": "auth1_test_myapp_1ETpVM6WdzAj5rk1cXa4qI1A6TOCwy0F4VpMp3",
    "hint": "auth1_pk_myapp_…qEgr",
    "client_id": "app_01kf0fv2qd8x7r3n5w1mzt9c4h",
    "host_id": "hst_01kf0fv2qd8x7r3n5w1mzt9c4h",
    "client_secret": "auth1_cs_myapp_ympZXaSCw88FJp3MBiq8L7bUkHeo6oKV1Eq20e",
    "access_token": "eyJhbGciOiJSUzI1NiIsInR5cCI6ImF0K2p3dCJ9.eyJpc3MiOiJodHRwczovL2F1dGguZXhhbXBsZSJ9.c2ln",
    "request_uri": (
        "urn:ietf:params:oauth:request_uri:01kf0fv2qd8x7r3n5w1mzt9c4h_0_6D9tlJSWJu1QE_1-DoBjggdidGj_bxsDXW_rj5s_2jA"
    ),
    "PushedRequest.expires_in": 60,
    "scope": "invoices:read",
    "AccessToken.expires_in": 600,
    "jwt_secret": "0Ph7TQyl_EC36aC3lGlpXdn1QCp5ZGZYlVros0AW-Bk",
    "kid": "tn_01kf0fv2j97zdx8sk1dzp7mxff.1",
    "token": (
        "eyJhbGciOiJIUzI1NiIsImtpZCI6InRuXzAxa2YwZnYyajk3emR4OHNrMWR6cDdteGZmLjEiLCJ0eXAiOiJhdCtqd3QifQ"
        ".eyJpc3MiOiJodHRwczovL2F1dGguZXhhbXBsZS5jb20iLCJhdWQiOiJ0bl8wMWtmMGZ2Mmo5N3pkeDhzazFkenA3bXhmZiIsInN1"
        "YiI6InVzcl8wMWtmMGZ2MnR2aDczbnZtbWd4NGtwY2g5dyIsInNpZCI6InNlc18wMWtmMGZ2MzdwOGRtdHFobjN5bXNxamgxbiIs"
        "ImlhdCI6MTc2ODQ2OTQxMiwiZXhwIjoxNzY4NDcwMzEyLCJqdGkiOiJqdGlfMDFrZjBmdjNtaGNyM3NoMmg4MjRkd3FyMGYiLCJh"
        "bXIiOlsib3RwIiwic21zIl0sImF1dGhfdGltZSI6MTc2ODQ2OTQwMCwicGhvbmVfbnVtYmVyIjoiKzE1NTUxMjM0NTY3In0"
        ".xoo_vHRcoZu90mu9mMG4xYz93yDzHjOY6Q9msOfIgbY"
    ),
    "refresh_token": "auth1_rt_01kf0fv37p8dmtqhn3ymsqjh1n_0_6D9tlJSWJu1QE_1-DoBjggdidGj_bxsDXW_rj5s_2jA",
    "challenge_secret": "W5hQEkKRVbqOv5WuwVVDdFWR46NZCkNmctEXDQ3KOZs",
    "link": "https://auth.example.com/api/auth/link/JedJceAYA99JkAfMrPWvbaWbfdqXsuRPAeGj3tcQMWs",
    "issuer": "https://auth.example.com",
    "jwks_uri": "https://auth.example.com/.well-known/jwks.json",
    "code": "482913",
    "expires_in": 900,
    "CodeSent.expires_in": 600,
    "Health.status": "healthy",
    "is_new_user": True,
    "FraudPolicy.rules": msgspec.to_builtins(FraudRules()),
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
    "email": "ada@example.com",
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
}
MOMENT = "2026-01-15T09:30:00Z"
