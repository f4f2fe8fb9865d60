"""The operator's routes for tenants and their keys."""

from auth1.callers.tenant import Operator
from auth1.core.call import Call
from auth1.errors import FieldError, ValidationFailed
from auth1.messaging import segments, templates, texts
from auth1.services import Services
from auth1.tenants import manage, store
from auth1.tenants.schemas import (
    KeyCreated,
    KeyIn,
    KeyPage,
    KeyRotation,
    TenantCreated,
    TenantIn,
    TenantOut,
    TenantPage,
    TenantPatch,
    TextPreview,
    TextPreviewIn,
)

PAGE = 50
MAX_PAGE = 200
SAMPLE_CODE = "1234567890"


async def create_tenant(app: Services, call: Call[Operator], body: TenantIn) -> TenantCreated:
    """Make a tenant; its keys and its JWT secret are shown this once."""
    return await manage.create_tenant(app, body)


async def list_tenants(app: Services, call: Call[Operator]) -> TenantPage:
    """List tenants, oldest first."""
    after, limit = _page(call)
    tenants = await store.list_tenants(app.postgres, after, limit + 1)
    return TenantPage(data=tenants[:limit], next_cursor=tenants[limit - 1].tenant_id if len(tenants) > limit else None)


async def get_tenant(app: Services, call: Call[Operator]) -> TenantOut:
    """Show a tenant."""
    return await manage.get_tenant(app, call.parameters["tenant_id"])


async def update_tenant(app: Services, call: Call[Operator], body: TenantPatch) -> TenantOut:
    """Change a tenant's name or some of its settings."""
    return await manage.update_tenant(app, call.parameters["tenant_id"], body)


async def delete_tenant(app: Services, call: Call[Operator]) -> None:
    """End a tenant; its data is purged."""
    await manage.delete_tenant(app, call.parameters["tenant_id"])


async def suspend_tenant(app: Services, call: Call[Operator]) -> TenantOut:
    """Refuse all calls of a tenant until it is resumed."""
    return await manage.suspend_tenant(app, call.parameters["tenant_id"], suspend=True)


async def resume_tenant(app: Services, call: Call[Operator]) -> TenantOut:
    """Answer the calls of a tenant again."""
    return await manage.suspend_tenant(app, call.parameters["tenant_id"], suspend=False)


async def preview_text(app: Services, call: Call[Operator], body: TextPreviewIn) -> TextPreview:
    """Show what a person would get, and how many segments it is billed as."""
    tenant = await manage.get_tenant(app, call.parameters["tenant_id"])
    settings = tenant.settings
    if body.template is None:
        locale, wording = texts.choose(settings, body.channel, body.locale)
    else:
        try:
            template = templates.parse(body.template)
        except templates.TemplateError as error:
            raise ValidationFailed(errors=[FieldError("template", str(error))]) from None
        locale, wording = texts.normalise(body.locale or settings.default_locale), texts.Wording(template, template)
    code = SAMPLE_CODE[: settings.otp_length]
    text = texts.word_sms(wording, tenant.name, settings, code, settings.otp_expiry_minutes * 60)
    return TextPreview(text, locale, *segments.measure(text))


async def create_key(app: Services, call: Call[Operator], body: KeyIn) -> KeyCreated:
    """Make one more key; it is shown this once."""
    return await manage.create_key(app, call.parameters["tenant_id"], body)


async def list_keys(app: Services, call: Call[Operator]) -> KeyPage:
    """List a tenant's keys, the ended ones too."""
    tenant = await manage.get_tenant(app, call.parameters["tenant_id"])
    after, limit = _page(call)
    keys = await store.list_keys(app.postgres, tenant.tenant_id, after, limit + 1)
    return KeyPage(data=keys[:limit], next_cursor=keys[limit - 1].key_id if len(keys) > limit else None)


async def rotate_key(app: Services, call: Call[Operator], body: KeyRotation) -> KeyCreated:
    """Replace a key; the old one works for a while longer."""
    return await manage.rotate_key(app, call.parameters["tenant_id"], call.parameters["key_id"], body)


async def revoke_key(app: Services, call: Call[Operator]) -> None:
    """End a key at once."""
    await manage.revoke_key(app, call.parameters["tenant_id"], call.parameters["key_id"])


def _page(call: Call[Operator]) -> tuple[str, int]:
    """Read `cursor` and `limit` (1 to 200, 50 unless told). Raises ValidationFailed."""
    query = call.query()
    limit = query.get("limit", str(PAGE))
    if not (limit.isascii() and limit.isdigit() and 1 <= int(limit) <= MAX_PAGE):
        raise ValidationFailed(errors=[FieldError("limit", f"Must be a whole number from 1 to {MAX_PAGE}")])
    cursor = query.get("cursor", "")
    if not cursor.isascii() or not cursor.isprintable() or len(cursor) > 64:
        raise ValidationFailed(errors=[FieldError("cursor", "Not a cursor of this list")])
    return cursor, int(limit)
