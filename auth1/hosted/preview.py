"""Preview the pages of the login with settings that are not stored: the true pages, without script and forms."""

import copy
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, cast, get_args

import msgspec

from auth1.api_error import PowChallenge
from auth1.applications.consents import Consent
from auth1.core import schemas
from auth1.core.http.request import Request, Response
from auth1.core.schemas import In
from auth1.errors import FieldError, ValidationFailed
from auth1.hosted import account_views, views
from auth1.hosted.login import endings
from auth1.hosted.records import Login, Step
from auth1.hosted.visits import Visit
from auth1.identifiers import parse_email, parse_phone
from auth1.oauth import logout
from auth1.oauth.authorization.codes import AuthorizationResponse
from auth1.oauth.authorization.requests import AuthorizationRequest, encode_request
from auth1.oauth.issuers import issuer_of
from auth1.pages.headers import preview_policy
from auth1.pages.script import SCRIPT
from auth1.services import Services
from auth1.sessions.schemas import SessionOut, SessionUser
from auth1.templates.schemas import Locale
from auth1.tenants import service, setting_rules
from auth1.tenants.schemas import SettingsPatch, TenantOut
from auth1.tenants.settings import Tenant, TenantAdmin, TenantSettings

Page = Literal[
    "start",
    "confirm",
    "code",
    "waiting",
    "profile",
    "account",
    "consent",
    "refused",
    "done",
    "expired",
    "proof",
    "sandbox_link",
    "leave",
    "logout",
    "signed_out",
    "my_account",
    "remove_phone",
    "erase",
]
_Draft = Annotated[SettingsPatch, msgspec.Meta(examples=[{"brand_color": "#0f766e"}])]
_EMAIL, _PHONE = parse_email("ada@example.com"), parse_phone("+12025550123")
_RETURN_TO = "https://app.example.com/"


class LoginPreviewIn(In):
    """A page of the login to preview. `settings` are changes that are not stored, as for `PATCH /settings`."""

    page: Page = "start"
    locale: Locale | None = None
    settings: _Draft = msgspec.field(default_factory=dict)


async def preview_login(app: Services, request: Request[TenantAdmin], body: LoginPreviewIn) -> Response:
    """Preview a page of the login with settings that are not stored. Nothing on it can be submitted."""
    stored = await service.get_tenant(app, request.caller.tenant_id)
    settings = _with_changes(stored.settings, body.settings)
    visit = _visit(app, request, stored, settings, body)
    page = _page(visit, body.page)
    request.headers[:] = [
        *((name, value) for name, value in request.headers if name != b"content-security-policy"),
        (b"content-security-policy", preview_policy(visit.theme).encode()),
    ]
    assert isinstance(page.body, bytes), "a page is HTML"
    text = page.body.decode().replace(f"<script>{SCRIPT.text}</script>", "")
    # The page may be shown at another address.
    text = text.replace('src="/logos/', f'src="{app.settings.app_url}/logos/')
    return Response(text.encode(), 200, page.content_type)


def _with_changes(stored: TenantSettings, changes: SettingsPatch) -> TenantSettings:
    """Return settings with changes. Raises ValidationFailed, as storing them does."""
    if unknown := sorted(set(changes) - set(TenantSettings.__struct_fields__)):
        raise ValidationFailed(errors=[FieldError(f"settings.{unknown[0][:64]}", "Unknown field.")])
    merged = msgspec.to_builtins(stored) | changes
    try:
        settings = msgspec.convert({key: value for key, value in merged.items() if value is not None}, TenantSettings)
    except msgspec.ValidationError as error:
        field, message = schemas.field_error(error, TenantSettings)
        raise ValidationFailed(errors=[FieldError(f"settings.{field}".rstrip("."), message)]) from None
    setting_rules.check_settings(settings, changes)
    setting_rules.check_logo(settings, stored.logo)
    return settings


def _visit(
    app: Services, request: Request[TenantAdmin], stored: TenantOut, settings: TenantSettings, body: LoginPreviewIn
) -> Visit:
    """Return a visit to the sandbox of the tenant, where both channels exist. It shares the headers of the response."""
    tenant = Tenant(
        id=f"{stored.tenant_id}:test",
        name=stored.name,
        settings=settings,
        jwt_version=1,
        suspended=False,
        key_id="preview",
        key_kind="test",
        allowed_origins=(),
        key_expires_at=None,
        sandbox=True,
    )
    visiting = cast(Request[Any], copy.copy(request))
    visiting.caller = issuer_of(app, tenant, stored.slug)
    asks = AuthorizationRequest(client_id="app_preview", redirect_uri=_RETURN_TO, scopes=["openid", "email"])
    login = Login(
        tenant_id=tenant.id,
        login_id="li_preview",
        browser_digest=b"",
        is_found=True,
        client_id="app_preview",
        client_name="Example",
        client_kind="web",
        redirect_uris=None,
        request=encode_request(asks),
        step=cast(Step, body.page if body.page in get_args(Step) else "start"),
        identifier=_EMAIL.value,
        channel=None if body.page == "start" else "email",
        challenge_id=None,
        message_state=None,
        user_id=None,
        session_id=None,
        locale=None,
        adding="phone",
        added=None,
        link_box=None,
        code_length=settings.otp_length,
        resend_after=30,
        is_expired=False,
        is_redeemed=False,
        code_number=0,
        code_expires_in=None,
    )
    return Visit(app, visiting, login.login_id, "", login, [body.locale] if body.locale is not None else [])


def _page(visit: Visit, page: Page) -> Response:
    login = visit.login
    assert login is not None, "a preview has a login"
    match page:
        case "start":
            return views.start_page(visit, login)
        case "confirm":
            return views.confirm_page(visit, _PHONE)
        case "code":
            ways = views.other_ways(visit, _EMAIL)
            return views.code_page(visit, login, _EMAIL, views.text(visit, "delivered"), ways)
        case "waiting":
            return views.waiting_page(visit, login, views.text(visit, "delivered"), is_confirmed=False, link=None)
        case "profile":
            return views.profile_page(visit, login)
        case "account":
            return views.account_page(visit, _EMAIL.masked)
        case "consent":
            return views.consent_page(visit, login)
    return _last_page(visit, login, page)


def _last_page(visit: Visit, login: Login, page: Page) -> Response:
    """Return a page at the end of a login, or on its way."""
    match page:
        case "refused":
            return endings.denied_page(visit, login, "banned")
        case "done":
            return endings.done_page(visit, login)
        case "expired":
            return endings.expired_page(visit, login)
        case "proof":
            work = PowChallenge("SHA-256", "0" * 64, "preview", 1, "0" * 64, 60)
            return views.proof_page(visit, _PHONE, work, "proceed")
        case "sandbox_link":
            return views.waiting_page(visit, login, "", is_confirmed=False, link=_RETURN_TO)
        case "leave":  # by form_post, which leads nowhere by itself
            return endings.leave_page(visit, login, AuthorizationResponse(_RETURN_TO, [("code", "")], "form_post"))
        case "logout":
            return logout.confirm_page(visit.request, visit.theme, [])
        case "signed_out":
            return logout.signed_out_page(visit.request, visit.theme)
    return _account_page(visit, page)


def _account_page(visit: Visit, page: Page) -> Response:
    """Return an account page of a user with a phone, a device and an application."""
    account, now = replace(visit, login=None), datetime.now(UTC)
    if page == "remove_phone":
        return account_views.remove_page(account, "phone", "")
    if page == "erase":
        return account_views.erase_page(account, "")
    no_data = msgspec.Raw(b"{}")
    user = SessionUser("usr_preview", "email", 0, 0, _PHONE.value, _EMAIL.value, now, now, no_data, no_data)
    devices = [
        SessionOut(f"ses_{name}", "email", name, None, "203.0.113.0/24", now, now, now) for name in ("Laptop", "Phone")
    ]
    apps = [Consent("app_preview", "Example", ["openid", "email"], now, now)]
    return account_views.account_page(account, user, devices, apps, devices[0].session_id)
