"""The table of contents: one entry per endpoint."""

from typing import Any

from auth1 import errors, health
from auth1.account import handlers as account
from auth1.account import identifiers
from auth1.account.schemas import IdentifierIn, IdentifierProof, MePatch
from auth1.applications.routes import APPLICATION_ROUTES
from auth1.audit.routes import EVENT_ROUTES
from auth1.authn.guards import (
    any_key,
    metrics_reader,
    operator,
    operator_for_stored_tenant,
    operator_for_tenant,
    public,
    secret_or_test_key,
)
from auth1.authn.limits import PER_IP, POLLING
from auth1.authn.management import OPERATOR_PATH, managed
from auth1.challenges import handlers as challenges
from auth1.challenges.schemas import CodeAnswer, CodeRequest
from auth1.core.http.pagination import PageQuery
from auth1.core.http.request import CSV, HTML, JSON, NDJSON, TEXT, BodyLimit, Form, Image, Upload
from auth1.core.http.router import Route
from auth1.core.postgres import REPORT_S
from auth1.fraud.routes import FRAUD_ROUTES
from auth1.health import Health, Readiness
from auth1.hooks.routes import HOOK_ROUTES
from auth1.hosted.routes import HOSTED_ROUTES
from auth1.hosts.routes import HOST_ROUTES
from auth1.magic_links.routes import LINK_ROUTES
from auth1.messaging import handlers as messaging
from auth1.messaging.providers import twilio_webhook
from auth1.messaging.providers.twilio import CALLBACK_PATH
from auth1.messaging.schemas import MessageQuery, StatisticsQuery, StatusCallbackQuery
from auth1.oauth import handlers as oauth
from auth1.oauth.browser_routes import BROWSER_ROUTES
from auth1.oauth.routes import OAUTH_ROUTES
from auth1.openapi import handlers as reference
from auth1.sessions import handlers as sessions
from auth1.sessions.guards import session
from auth1.sessions.schemas import Introspection, LogoutIn
from auth1.tenants import handlers as tenants
from auth1.tenants import logo
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
from auth1.user_transfer.handlers import ExportQuery, ImportQuery
from auth1.users import handlers as users
from auth1.users.schemas import Ban, UserIn, UserPatch
from auth1.users.search import UserQuery
from auth1.webhooks.routes import WEBHOOK_ROUTES

SEND_DEADLINE_S = 6.0  # of routes that wait for a provider
REPORT_DEADLINE_S = REPORT_S + 2.0  # of routes that read many rows
EXPORT_DEADLINE_S = 900.0  # the time a client may take to read all users of a tenant
IMPORT_DEADLINE_S = 60.0
UPLOAD = BodyLimit(4 * 1024 * 1024, 30.0)
# How many requests without a credential run at once, per client address and worker. All addresses share four times it.
PROBES = 64
DOCUMENTS = 8  # large responses, held until the client has read them

MISSING = (errors.NotFound,)
INVALID_IDENTIFIER = (errors.InvalidPhone, errors.InvalidEmail)
RISK = (errors.CountryNotAllowed, errors.HookDenied, errors.ProofRequired, errors.RequestBlocked)
SENDING = (
    *INVALID_IDENTIFIER,
    *RISK,
    errors.RecipientOptedOut,
    errors.ResendTooSoon,
    errors.BudgetExceeded,
    errors.DeliveryFailed,
    errors.ChannelUnavailable,
)
WRONG_CODE = (errors.InvalidCode, errors.NoActiveChallenge, errors.TooManyAttempts)
PROBE: dict[str, Any] = {"auth": public, "quiet": True, "max_concurrent": PROBES}
WELL_KNOWN: dict[str, Any] = {"auth": public, "max_concurrent": PROBES, "response_headers": ("cache-control",)}
CONDITIONS = ("accept-encoding", "if-none-match")
CACHING = ("cache-control", "etag", "content-encoding")
CACHED: dict[str, Any] = {"request_headers": CONDITIONS, "response_headers": CACHING}
DOCUMENT: dict[str, Any] = {**PROBE, **CACHED, "max_concurrent": DOCUMENTS}
DOCUMENT_PAGE: dict[str, Any] = DOCUMENT | {"page": True, "responses": ((200, HTML), (304, None))}

ROUTES = (
    Route(
        "POST",
        "/api/auth/request",
        challenges.request_code,
        auth=any_key,
        rate_limit=PER_IP,
        body=CodeRequest,
        errors=SENDING,
        deadline_s=SEND_DEADLINE_S,
        idempotent="itself",
    ),
    Route(
        "POST",
        "/api/auth/verify",
        challenges.verify_code,
        auth=any_key,
        rate_limit=PER_IP,
        body=CodeAnswer,
        errors=(*INVALID_IDENTIFIER, *WRONG_CODE, errors.HookDenied, errors.UserBanned),
    ),
    Route(
        "POST",
        "/api/auth/token",
        oauth.token,
        auth=any_key,
        rate_limit=POLLING,
        body=oauth.Grant,
        errors=(
            *(errors.InvalidToken, errors.TokenReused, errors.SessionRevoked),  # of a refresh token
            *(errors.AuthorizationPending, errors.NoActiveChallenge, errors.UserBanned),  # of a magic link
            errors.HookDenied,
        ),
    ),
    Route("POST", "/api/auth/logout", sessions.logout, auth=session, body=LogoutIn, body_optional=True),
    Route("POST", "/api/auth/introspect", oauth.introspect, auth=secret_or_test_key, body=Introspection, form=True),
    Route("GET", "/api/auth/me/sessions", sessions.list_my_sessions, auth=session, query=PageQuery),
    Route("DELETE", "/api/auth/me/sessions", sessions.end_my_sessions, auth=session),
    Route("GET", "/api/auth/me/sessions/{session_id}", sessions.get_my_session, auth=session, errors=MISSING),
    Route("DELETE", "/api/auth/me/sessions/{session_id}", sessions.end_my_session, auth=session, errors=MISSING),
    Route("GET", "/api/auth/me", account.get_me, auth=session),
    Route("PATCH", "/api/auth/me", account.update_me, auth=session, body=MePatch),
    Route("DELETE", "/api/auth/me", account.erase_me, auth=session, errors=(errors.ReauthenticationRequired,)),
    Route("GET", "/api/auth/me/identifiers", identifiers.list_identifiers, auth=session, query=PageQuery),
    Route(
        "POST",
        "/api/auth/me/identifiers",
        identifiers.begin_identifier,
        auth=session,
        rate_limit=PER_IP,
        body=IdentifierIn,
        errors=(*SENDING, errors.Conflict, errors.ReauthenticationRequired),
        deadline_s=SEND_DEADLINE_S,
        idempotent="itself",
    ),
    Route(
        "POST",
        "/api/auth/me/identifiers/verify",
        identifiers.prove_identifier,
        auth=session,
        rate_limit=PER_IP,
        body=IdentifierProof,
        errors=(*INVALID_IDENTIFIER, *WRONG_CODE, errors.Conflict),
    ),
    Route(
        "DELETE",
        "/api/auth/me/identifiers/{type}",
        identifiers.remove_identifier,
        auth=session,
        rate_limit=PER_IP,
        errors=(errors.NotFound, errors.Conflict, errors.ReauthenticationRequired),
    ),
    *LINK_ROUTES,
    Route(
        "GET",
        "/api/auth/challenges/{challenge_id}",
        challenges.get_challenge,
        auth=any_key,
        rate_limit=POLLING,
        errors=MISSING,
    ),
    Route(
        "POST",
        CALLBACK_PATH,
        twilio_webhook.receive_status,
        auth=twilio_webhook.signed_by_twilio,
        body=Form,
        query=StatusCallbackQuery,
        max_concurrent=PROBES,
    ),
    Route(
        "POST",
        "/api/admin/tenants",
        tenants.create_tenant,
        auth=operator,
        body=TenantIn,
        errors=(errors.Conflict,),
        status=201,
        idempotent="yes",
    ),
    Route("GET", "/api/admin/tenants", tenants.list_tenants, auth=operator, query=PageQuery),
    Route("GET", OPERATOR_PATH, tenants.get_tenant, auth=operator_for_tenant),
    Route("PATCH", OPERATOR_PATH, tenants.update_tenant, auth=operator_for_tenant, body=TenantPatch),
    Route("DELETE", OPERATOR_PATH, tenants.delete_tenant, auth=operator_for_stored_tenant),
    Route("POST", OPERATOR_PATH + "/suspend", tenants.suspend_tenant, auth=operator_for_tenant),
    Route("POST", OPERATOR_PATH + "/resume", tenants.resume_tenant, auth=operator_for_tenant),
    *managed("GET", "/settings", tenants.get_settings),
    *managed("PATCH", "/settings", tenants.update_settings, body=SettingsPatch),
    *managed("PUT", "/logo", logo.put_logo, body=Image, limit=logo.LIMIT, errors=(errors.ValidationFailed,)),
    *managed("DELETE", "/logo", logo.delete_logo),
    *managed("POST", "/texts/preview", tenants.preview_text, body=TextPreviewIn),
    *managed("POST", "/keys", tenants.create_key, body=KeyIn, status=201, idempotent="yes"),
    *managed("GET", "/keys", tenants.list_keys, query=PageQuery),
    *managed(
        "POST",
        "/keys/{key_id}/rotate",
        tenants.rotate_key,
        body=KeyRotation,
        errors=(errors.NotFound, errors.Conflict),
        body_optional=True,
        status=201,
        idempotent="yes",
    ),
    *managed("PATCH", "/keys/{key_id}", tenants.update_key, body=KeyPatch, errors=(errors.NotFound, errors.Conflict)),
    *managed("DELETE", "/keys/{key_id}", tenants.revoke_key, errors=MISSING),
    *managed("GET", "/jwt-secret", tenants.get_jwt_secret),
    *managed(
        "POST", "/jwt-secret/rotate", tenants.rotate_jwt_secret, body=JwtRotation, body_optional=True, idempotent="yes"
    ),
    *managed(
        "GET",
        "/users/export",
        user_transfer.export_users,
        query=ExportQuery,
        deadline_s=EXPORT_DEADLINE_S,
        max_concurrent=2,
        responses=((200, NDJSON), (200, CSV)),
        response_headers=("content-disposition",),
    ),
    *managed(
        "POST",
        "/users/import",
        user_transfer.import_users,
        body=Upload,
        query=ImportQuery,
        limit=UPLOAD,
        deadline_s=IMPORT_DEADLINE_S,
        max_concurrent=2,
    ),
    *managed("GET", "/users", users.list_users, query=UserQuery, errors=INVALID_IDENTIFIER),
    *managed(
        "POST",
        "/users",
        users.create_user,
        body=UserIn,
        errors=(*INVALID_IDENTIFIER, errors.Conflict),
        status=201,
        idempotent="yes",
    ),
    *managed("GET", "/users/{user_id}", users.get_user, errors=MISSING),
    *managed(
        "PATCH",
        "/users/{user_id}",
        users.update_user,
        body=UserPatch,
        errors=(*INVALID_IDENTIFIER, errors.NotFound, errors.Conflict),
    ),
    *managed("DELETE", "/users/{user_id}", users.erase_user, errors=MISSING),
    *managed("POST", "/users/{user_id}/ban", users.ban_user, body=Ban, body_optional=True, errors=MISSING),
    *managed("POST", "/users/{user_id}/unban", users.unban_user, errors=MISSING),
    *managed("GET", "/users/{user_id}/export", users.export_user, errors=MISSING),
    *managed("GET", "/users/{user_id}/sessions", sessions.list_user_sessions, query=PageQuery, errors=MISSING),
    *managed("DELETE", "/users/{user_id}/sessions", sessions.end_user_sessions, errors=MISSING),
    *managed("GET", "/users/{user_id}/sessions/{session_id}", sessions.get_user_session, errors=MISSING),
    *managed("DELETE", "/users/{user_id}/sessions/{session_id}", sessions.end_user_session, errors=MISSING),
    *managed("DELETE", "/sessions", sessions.end_tenant_sessions),
    *managed("GET", "/messages", messaging.list_messages, query=MessageQuery, deadline_s=REPORT_DEADLINE_S),
    *managed("GET", "/statistics", messaging.show_statistics, query=StatisticsQuery, deadline_s=REPORT_DEADLINE_S),
    *APPLICATION_ROUTES,
    *HOST_ROUTES,
    *FRAUD_ROUTES,
    *EVENT_ROUTES,
    *HOOK_ROUTES,
    *WEBHOOK_ROUTES,
    *OAUTH_ROUTES,
    *BROWSER_ROUTES,
    *HOSTED_ROUTES,
    Route("GET", "/logos/{digest}.png", logo.get_logo, **logo.SERVE),
    Route("GET", "/.well-known/jwks.json", oauth.jwks, **WELL_KNOWN),
    Route("GET", "/.well-known/openid-configuration", oauth.discovery, **WELL_KNOWN),
    Route("GET", "/health", health.health, **PROBE, responses=((200, Health), (503, Health))),
    Route("GET", "/health/live", health.live, **PROBE),
    Route("GET", "/health/ready", health.ready, **PROBE, responses=((200, Readiness), (503, Readiness))),
    Route("GET", "/", reference.index, **DOCUMENT_PAGE),
    Route("GET", "/openapi.json", reference.openapi, **DOCUMENT, responses=((200, JSON), (304, None))),
    Route("GET", "/docs", reference.docs, **DOCUMENT_PAGE),
    Route("GET", "/docs/{section}", reference.docs_section, **DOCUMENT_PAGE, errors=MISSING),
    Route("GET", "/metrics", health.scrape, **PROBE | {"auth": metrics_reader}, cors=False, responses=((200, TEXT),)),
)
