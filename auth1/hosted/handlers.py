"""Show the page of a login, act on its forms, and report the delivery of its code."""

from auth1.core.http.request import Form, Request, Response
from auth1.hosted import steps, store, views
from auth1.hosted.schemas import LoginStatus
from auth1.hosted.store import Login
from auth1.hosted.visits import Visit, read_visit
from auth1.identifiers import Channel
from auth1.oauth.issuers import Issuer
from auth1.pages.forms import FIELD, check_origin, token_is_valid
from auth1.pages.headers import origin_of
from auth1.services import Services

_CHANNELS: dict[str, Channel] = {"use_email": "email", "use_phone": "sms"}


async def show_login(app: Services, request: Request[Issuer]) -> Response:
    """Show the page of a sign-in.

    Only the browser that started the sign-in sees it, for an hour. The page is complete without scripts.
    """
    visit = await read_visit(app, request)
    login = visit.login
    if login is None or login.is_over:
        return views.expired_page(visit, login)
    page = await _show(visit, login)
    return _reload(visit) if page is None else page


async def continue_login(app: Services, request: Request[Issuer], body: Form) -> Response:
    """Act on a form of a sign-in, then load its page again.

    A form of another page is rejected. A form of a step that is over changes nothing.
    """
    check_origin(request, origin_of(request.caller.url))
    visit = await read_visit(app, request)
    login = visit.login
    if login is None or login.is_over:
        # Another tab may have replaced the cookie since: the browser shows what holds now.
        return _reload(visit)
    token, step = body.value(FIELD), body.value("step")
    if step != login.step or not token_is_valid(app.keyring, token, visit.secret, login.id, login.step):
        return _reload(visit)
    page = await _act(visit, login, body)
    return _reload(visit) if page is None else page


async def get_login_status(app: Services, request: Request[Issuer]) -> LoginStatus:
    """Return what became of the message with the code, for the script of the page."""
    visit = await read_visit(app, request)
    if visit.login is None or visit.login.is_over or visit.login.step != "code":
        return LoginStatus(text="", final=True, reload=True)
    delivery, is_final = await steps.find_delivery(visit, visit.login)
    return LoginStatus(text=delivery, final=is_final, reload=False)


async def _show(visit: Visit, login: Login) -> Response | None:
    match login.step:
        case "start":
            return views.start_page(visit, login)
        case "code":
            return await steps.show_code(visit, login)
        case "account":
            return await steps.show_account(visit)
        case "consent":
            return views.consent_page(visit, login)
        case "done":
            return await steps.leave(visit, login)
        case "refused":
            return views.refused_page(visit, login, "banned")
    return views.expired_page(visit, login)


async def _act(visit: Visit, login: Login, form: Form) -> Response | None:
    action = form.value("do") or ""
    match login.step, action:
        case "start", "proceed":
            return await steps.send_first_code(visit, login, form)
        case "code", "verify":
            return await steps.verify(visit, login, form)
        case "code", "resend":
            return await steps.send_another_code(visit, login, form)
        case (("start" | "code" | "account"), ("change" | "use_email" | "use_phone")):
            await store.start_again(visit.app.postgres, visit.key, _CHANNELS.get(action))
        case "account", "adopt":
            return await steps.adopt(visit, login)
        case "consent", "allow":
            await steps.allow(visit, login)
        case (("start" | "code" | "account" | "refused"), "cancel"):
            return await steps.cancel(visit, login)
        case "consent", "deny":
            return await steps.cancel(visit, login)
    return None


def _reload(visit: Visit) -> Response:
    return views.redirect(visit, visit.url)
