"""Manage the webhooks of a tenant: for the tenant itself, and for the operator."""

import msgspec

from auth1.core import standard_webhooks
from auth1.core.http.pagination import PageQuery
from auth1.core.http.request import Request
from auth1.core.ids import new_id
from auth1.core.outbound.guard import UrlNotAllowed
from auth1.endpoint_secrets import encrypt_secret
from auth1.errors import FieldError, ValidationFailed
from auth1.events.log import log_events
from auth1.services import Services
from auth1.tenants.settings import TenantAdmin
from auth1.webhooks import store
from auth1.webhooks.schemas import (
    RotatedSecret,
    SecretRotation,
    WebhookCreated,
    WebhookIn,
    WebhookOut,
    WebhookPage,
    WebhookPatch,
    check_types,
)
from auth1.webhooks.store import NewWebhook, WebhookKey


async def create_webhook(app: Services, request: Request[TenantAdmin], body: WebhookIn) -> WebhookCreated:
    """Create a webhook. Its secret is shown only in this response. A tenant has at most 10 webhooks."""
    check_types("events", body.events)
    _check_url(app, body.url)
    tenant_id, webhook_id, secret = request.caller.tenant_id, new_id("whk"), standard_webhooks.new_secret()
    encrypted = encrypt_secret(app.keyring, tenant_id, webhook_id, secret)
    new = NewWebhook(webhook_id, body.url, body.events, body.sandbox, encrypted)
    webhook, events = await store.create_webhook(app.postgres, tenant_id, new, request.caller.context)
    log_events(app.log, events)
    return WebhookCreated(**msgspec.structs.asdict(webhook), secret=standard_webhooks.format_secret(secret))


async def list_webhooks(app: Services, request: Request[TenantAdmin], query: PageQuery) -> WebhookPage:
    """List a tenant's webhooks, oldest first."""
    rows = await store.list_webhooks(app.postgres, request.caller.tenant_id, query.cursor, query.rows)
    return WebhookPage(*query.split(rows, lambda webhook: webhook.webhook_id))


async def get_webhook(app: Services, request: Request[TenantAdmin]) -> WebhookOut:
    """Return a webhook."""
    return await store.find_webhook(app.postgres, webhook_key(request))


async def update_webhook(app: Services, request: Request[TenantAdmin], body: WebhookPatch) -> WebhookOut:
    """Change the URL or the events of a webhook, or disable or enable it.

    While it is disabled it receives no new events. Enabled again, it continues with its pending deliveries.
    """
    url = None if body.url is msgspec.UNSET else body.url
    events = None if body.events is msgspec.UNSET else body.events
    enabled = None if body.enabled is msgspec.UNSET else body.enabled
    if events is not None:
        check_types("events", events)
    if url is not None:
        _check_url(app, url)
    webhook, recorded = await store.update_webhook(
        app.postgres, webhook_key(request), request.caller.context, url=url, events=events, enabled=enabled
    )
    log_events(app.log, recorded)
    return webhook


async def delete_webhook(app: Services, request: Request[TenantAdmin]) -> None:
    """Delete a webhook. Its pending deliveries are not sent."""
    log_events(app.log, await store.delete_webhook(app.postgres, webhook_key(request), request.caller.context))


async def rotate_secret(app: Services, request: Request[TenantAdmin], body: SecretRotation) -> RotatedSecret:
    """Replace the secret of a webhook. The old one signs too for `grace_in`; an even older one ends at once."""
    key, secret = webhook_key(request), standard_webhooks.new_secret()
    encrypted = encrypt_secret(app.keyring, *key, secret)
    until, events = await store.rotate_secret(app.postgres, key, encrypted, body.grace_in, request.caller.context)
    log_events(app.log, events)
    return RotatedSecret(standard_webhooks.format_secret(secret), until)


def webhook_key(request: Request[TenantAdmin]) -> WebhookKey:
    """Return the key of the webhook that the path names."""
    return WebhookKey(request.caller.tenant_id, request.parameters["webhook_id"])


def _check_url(app: Services, url: str) -> None:
    """Check a URL. Its host is resolved at each call. Raises ValidationFailed."""
    try:
        app.guard.check_url(url)
    except UrlNotAllowed as error:
        raise ValidationFailed(errors=[FieldError("url", str(error))]) from None
