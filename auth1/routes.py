"""The table of contents: every endpoint is one line."""

from typing import Any

from auth1 import health
from auth1.account import handlers as account
from auth1.account import identifiers
from auth1.account.schemas import IdentifierIn, IdentifierProof, MePatch
from auth1.authn.guards import (
    anyone,
    manager,
    operator,
    operator_of_tenant,
    person_at_the_door,
    scraper,
    server,
    tenant_at_the_door,
    tenant_who_polls,
)
from auth1.challenges import handlers as challenges
from auth1.challenges import magic_link
from auth1.challenges.schemas import CodeAnswer, CodeRequest
from auth1.core.http.request import CSV, HTML, JSON, NDJSON, TEXT, BodyLimit, Form, Upload
from auth1.core.http.router import Body, Handler, Route
from auth1.core.postgres import REPORT_S
from auth1.health import Health, Ready
from auth1.magic_links import handlers as magic_links
from auth1.messaging import handlers as messaging
from auth1.messaging.providers import twilio_webhook
from auth1.messaging.providers.twilio import CALLBACK_PATH
from auth1.oauth import handlers as oauth
from auth1.openapi import handlers as docs
from auth1.sessions import handlers as sessions
from auth1.sessions.guards import logged_in, logged_in_at_the_door
from auth1.sessions.schemas import Introspection, Logout
from auth1.tenants import handlers as tenants
from auth1.tenants.schemas import (
    JwtRotation,
    KeyIn,
    KeyPatch,
    KeyRotation,
    SettingsPatch,
    TenantIn,
    TenantPatch,
    TextPreviewIn,
)
from auth1.user_transfer import handlers as user_transfer
from auth1.users import handlers as users
from auth1.users.schemas import Ban, UserIn, UserPatch

SEND_DEADLINE_S = 6.0  # where a provider is waited for
REPORT_DEADLINE_S = REPORT_S + 2.0  # where much is read
EXPORT_DEADLINE_S = 900.0  # as long as a client may take for all of a tenant's users
IMPORT_DEADLINE_S = 60.0
UPLOAD = BodyLimit(4 * 1024 * 1024, 30.0)  # read by whoever has a secret key, after that was checked

# Without a credential: at once, of one client address and worker. All addresses together have four times as many.
PROBES = 64
DOCUMENTS = 8  # large, and held until the client has read them

_TENANT = "/api/admin/tenants/{tenant_id}"


def managed(method: str, path: str, handler: Handler, body: Body = None, **options: Any) -> tuple[Route, Route]:
    """What a tenant does with its secret key, and the operator for it: one handler, two paths."""
    return (
        Route(method, "/api/tenant" + path, handler, manager, body, **options),
        Route(method, _TENANT + path, handler, operator_of_tenant, body, **options),
    )


ROUTES = (
    Route(
        "POST",
        "/api/auth/request",
        challenges.request_code,
        tenant_at_the_door,
        CodeRequest,
        deadline_s=SEND_DEADLINE_S,
        idempotent="itself",
    ),
    Route("POST", "/api/auth/verify", challenges.verify_code, tenant_at_the_door, CodeAnswer),
    Route("POST", "/api/auth/token", oauth.token, tenant_who_polls, oauth.Grant),
    Route("POST", "/api/auth/logout", sessions.logout, logged_in, Logout, body_optional=True),
    Route("POST", "/api/auth/introspect", oauth.introspect, server, Introspection, form=True),
    Route("GET", "/api/auth/me/sessions", sessions.list_my_sessions, logged_in),
    Route("DELETE", "/api/auth/me/sessions", sessions.end_my_sessions, logged_in),
    Route("DELETE", "/api/auth/me/sessions/{session_id}", sessions.end_my_session, logged_in),
    Route("GET", "/api/auth/me", account.get_me, logged_in),
    Route("PATCH", "/api/auth/me", account.update_me, logged_in, MePatch),
    Route("DELETE", "/api/auth/me", account.erase_me, logged_in),
    Route("GET", "/api/auth/me/identifiers", identifiers.list_identifiers, logged_in),
    Route(
        "POST",
        "/api/auth/me/identifiers",
        identifiers.begin_identifier,
        logged_in_at_the_door,
        IdentifierIn,
        deadline_s=SEND_DEADLINE_S,
        idempotent="itself",
    ),
    Route(
        "POST", "/api/auth/me/identifiers/verify", identifiers.prove_identifier, logged_in_at_the_door, IdentifierProof
    ),
    Route("DELETE", "/api/auth/me/identifiers/{type}", identifiers.remove_identifier, logged_in_at_the_door),
    Route(
        "GET",
        magic_link.PATH,
        magic_links.show_link,
        anyone,
        max_concurrent=PROBES,
        page=True,
        answers=((200, HTML), (400, HTML)),
    ),
    Route(
        "POST",
        magic_link.PATH,
        magic_links.confirm_link,
        person_at_the_door,
        max_concurrent=PROBES,
        page=True,
        answers=((200, HTML), (303, None), (400, HTML)),
    ),
    Route("GET", "/api/auth/challenges/{challenge_id}", challenges.get_challenge, tenant_who_polls),
    # Whoever calls is known by a signature over the body too, so the handler checks it.
    Route("POST", CALLBACK_PATH, twilio_webhook.receive_status, anyone, Form, max_concurrent=PROBES),
    Route("POST", "/api/admin/tenants", tenants.create_tenant, operator, TenantIn, status=201, idempotent="yes"),
    Route("GET", "/api/admin/tenants", tenants.list_tenants, operator),
    Route("GET", _TENANT, tenants.get_tenant, operator),
    Route("PATCH", _TENANT, tenants.update_tenant, operator_of_tenant, TenantPatch),
    Route("DELETE", _TENANT, tenants.delete_tenant, operator_of_tenant),
    Route("POST", _TENANT + "/suspend", tenants.suspend_tenant, operator_of_tenant),
    Route("POST", _TENANT + "/resume", tenants.resume_tenant, operator_of_tenant),
    *managed("GET", "/settings", tenants.get_settings),
    *managed("PATCH", "/settings", tenants.update_settings, SettingsPatch),
    *managed("POST", "/texts/preview", tenants.preview_text, TextPreviewIn),
    *managed("POST", "/keys", tenants.create_key, KeyIn, status=201, idempotent="yes"),
    *managed("GET", "/keys", tenants.list_keys),
    *managed(
        "POST",
        "/keys/{key_id}/rotate",
        tenants.rotate_key,
        KeyRotation,
        body_optional=True,
        status=201,
        idempotent="yes",
    ),
    *managed("PATCH", "/keys/{key_id}", tenants.update_key, KeyPatch),
    *managed("DELETE", "/keys/{key_id}", tenants.revoke_key),
    *managed("GET", "/jwt-secret", tenants.get_jwt_secret),
    *managed(
        "POST", "/jwt-secret/rotate", tenants.rotate_jwt_secret, JwtRotation, body_optional=True, idempotent="yes"
    ),
    *managed(
        "GET",
        "/users/export",
        user_transfer.export_users,
        deadline_s=EXPORT_DEADLINE_S,
        max_concurrent=2,
        answers=((200, NDJSON), (200, CSV)),
    ),
    *managed(
        "POST",
        "/users/import",
        user_transfer.import_users,
        Upload,
        limit=UPLOAD,
        deadline_s=IMPORT_DEADLINE_S,
        max_concurrent=2,
    ),
    *managed("GET", "/users", users.list_users),
    *managed("POST", "/users", users.create_user, UserIn, status=201, idempotent="yes"),
    *managed("GET", "/users/{user_id}", users.get_user),
    *managed("PATCH", "/users/{user_id}", users.update_user, UserPatch),
    *managed("DELETE", "/users/{user_id}", users.erase_user),
    *managed("POST", "/users/{user_id}/ban", users.ban_user, Ban, body_optional=True),
    *managed("POST", "/users/{user_id}/unban", users.unban_user),
    *managed("GET", "/users/{user_id}/export", users.export_user),
    *managed("GET", "/users/{user_id}/sessions", sessions.list_user_sessions),
    *managed("DELETE", "/users/{user_id}/sessions", sessions.end_user_sessions),
    *managed("DELETE", "/users/{user_id}/sessions/{session_id}", sessions.end_user_session),
    *managed("DELETE", "/sessions", sessions.end_tenant_sessions),
    *managed("GET", "/messages", messaging.list_messages, deadline_s=REPORT_DEADLINE_S),
    *managed("GET", "/statistics", messaging.show_statistics, deadline_s=REPORT_DEADLINE_S),
    Route("GET", "/.well-known/jwks.json", oauth.jwks, anyone, max_concurrent=PROBES),
    Route("GET", "/.well-known/openid-configuration", oauth.discovery, anyone, max_concurrent=PROBES),
    Route(
        "GET",
        "/health",
        health.health,
        anyone,
        quiet=True,
        max_concurrent=PROBES,
        answers=((200, Health), (503, Health)),
    ),
    Route("GET", "/health/live", health.live, anyone, quiet=True, max_concurrent=PROBES),
    Route(
        "GET",
        "/health/ready",
        health.ready,
        anyone,
        quiet=True,
        max_concurrent=PROBES,
        answers=((200, Ready), (503, Ready)),
    ),
    Route(
        "GET",
        "/openapi.json",
        docs.openapi,
        anyone,
        quiet=True,
        max_concurrent=DOCUMENTS,
        answers=((200, JSON), (304, None)),
    ),
    Route(
        "GET",
        "/docs",
        docs.docs,
        anyone,
        quiet=True,
        max_concurrent=DOCUMENTS,
        page=True,
        answers=((200, HTML), (304, None)),
    ),
    Route("GET", "/metrics", health.scrape, scraper, quiet=True, max_concurrent=PROBES, answers=((200, TEXT),)),
)
