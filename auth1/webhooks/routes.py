"""The routes of webhooks and their deliveries, for a tenant and for the operator."""

from typing import Any

from auth1.authn.management import managed
from auth1.core.http.pagination import PageQuery
from auth1.core.postgres import REPORT_S
from auth1.errors import Conflict, NotFound
from auth1.webhooks import delivery_handlers, handlers
from auth1.webhooks.schemas import CancelIn, DeliveryQuery, ReplayIn, SecretRotation, WebhookIn, WebhookPatch

WEBHOOK = "/webhooks/{webhook_id}"
DELIVERY = WEBHOOK + "/deliveries/{delivery_id}"
MISSING: dict[str, Any] = {"errors": (NotFound,)}
# Requests that change many deliveries do it step by step.
MANY: dict[str, Any] = {**MISSING, "status": 202, "body_optional": True, "deadline_s": REPORT_S, "max_concurrent": 2}

WEBHOOK_ROUTES = (
    *managed(
        "POST",
        "/webhooks",
        handlers.create_webhook,
        body=WebhookIn,
        errors=(Conflict,),
        status=201,
        idempotent="yes",
    ),
    *managed("GET", "/webhooks", handlers.list_webhooks, query=PageQuery),
    *managed("GET", WEBHOOK, handlers.get_webhook, **MISSING),
    *managed("PATCH", WEBHOOK, handlers.update_webhook, body=WebhookPatch, **MISSING),
    *managed("DELETE", WEBHOOK, handlers.delete_webhook, **MISSING),
    *managed(
        "POST",
        WEBHOOK + "/rotate-secret",
        handlers.rotate_secret,
        body=SecretRotation,
        body_optional=True,
        idempotent="yes",
        **MISSING,
    ),
    *managed(
        "POST",
        WEBHOOK + "/test",
        delivery_handlers.send_test,
        errors=(NotFound, Conflict),
        status=202,
        idempotent="yes",
    ),
    *managed(
        "GET",
        WEBHOOK + "/deliveries",
        delivery_handlers.list_deliveries,
        query=DeliveryQuery,
        deadline_s=REPORT_S + 2.0,
        **MISSING,
    ),
    *managed("GET", DELIVERY, delivery_handlers.get_delivery, **MISSING),
    *managed("POST", DELIVERY + "/replay", delivery_handlers.replay_delivery, status=202, **MISSING),
    *managed("POST", DELIVERY + "/cancel", delivery_handlers.cancel_delivery, errors=(NotFound, Conflict)),
    *managed("POST", WEBHOOK + "/replay", delivery_handlers.replay_deliveries, body=ReplayIn, **MANY),
    *managed("POST", WEBHOOK + "/cancel", delivery_handlers.cancel_deliveries, body=CancelIn, **MANY),
)
