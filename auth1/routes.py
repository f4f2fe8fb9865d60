"""The table of contents: every endpoint is one line."""

from auth1 import health
from auth1.callers.guards import (
    anyone,
    operator,
    person_at_the_door,
    scraper,
    tenant_at_the_door,
    tenant_who_polls,
)
from auth1.challenges import handlers as challenges
from auth1.challenges import link_handlers, links, receipts
from auth1.challenges.schemas import ChallengeGrant, CodeAnswer, CodeGrant, CodeRequest
from auth1.core.call import Form
from auth1.core.router import Route
from auth1.messaging.twilio import CALLBACK_PATH
from auth1.tenants import handlers as tenants
from auth1.tenants.schemas import KeyIn, KeyRotation, TenantIn, TenantPatch, TextPreviewIn

SEND_DEADLINE_S = 6.0  # where a provider is waited for

_TENANT = "/api/admin/tenants/{tenant_id}"

ROUTES = (
    Route(
        "POST",
        "/api/auth/request",
        challenges.request_code,
        tenant_at_the_door,
        CodeRequest,
        deadline_s=SEND_DEADLINE_S,
    ),
    Route("POST", "/api/auth/verify", challenges.verify_code, tenant_at_the_door, CodeAnswer),
    Route("POST", "/api/auth/token", link_handlers.redeem, tenant_who_polls, CodeGrant | ChallengeGrant),
    Route("GET", links.PATH, link_handlers.show_link, anyone, page=True),
    Route("POST", links.PATH, link_handlers.confirm_link, person_at_the_door, page=True),
    Route("GET", "/api/auth/challenges/{challenge_id}", receipts.get_challenge, tenant_who_polls),
    # Whoever calls is known by a signature over the body too, so the handler checks it.
    Route("POST", CALLBACK_PATH, receipts.take_twilio_receipt, anyone, Form),
    Route("POST", "/api/admin/tenants", tenants.create_tenant, operator, TenantIn, status=201),
    Route("GET", "/api/admin/tenants", tenants.list_tenants, operator),
    Route("GET", _TENANT, tenants.get_tenant, operator),
    Route("PATCH", _TENANT, tenants.update_tenant, operator, TenantPatch),
    Route("DELETE", _TENANT, tenants.delete_tenant, operator),
    Route("POST", _TENANT + "/suspend", tenants.suspend_tenant, operator),
    Route("POST", _TENANT + "/resume", tenants.resume_tenant, operator),
    Route("POST", _TENANT + "/texts/preview", tenants.preview_text, operator, TextPreviewIn),
    Route("POST", _TENANT + "/keys", tenants.create_key, operator, KeyIn, status=201),
    Route("GET", _TENANT + "/keys", tenants.list_keys, operator),
    Route("POST", _TENANT + "/keys/{key_id}/rotate", tenants.rotate_key, operator, KeyRotation, status=201),
    Route("DELETE", _TENANT + "/keys/{key_id}", tenants.revoke_key, operator),
    Route("GET", "/health", health.health, anyone, quiet=True),
    Route("GET", "/health/live", health.live, anyone, quiet=True),
    Route("GET", "/health/ready", health.ready, anyone, quiet=True),
    Route("GET", "/metrics", health.scrape, scraper, quiet=True),
)
