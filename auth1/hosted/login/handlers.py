"""Show the page of a login, process its forms, and report the delivery of its code."""

from collections.abc import Awaitable, Callable

from auth1.core.http.request import Form, Request, Response
from auth1.hosted import store, views
from auth1.hosted.login import completion, endings, links, profile, steps
from auth1.hosted.login.schemas import LoginStatus
from auth1.hosted.records import Login, Step
from auth1.hosted.visits import Visit, read_visit
from auth1.identifiers import Channel
from auth1.oauth.issuers import Issuer
from auth1.pages.forms import FIELD, check_origin, token_is_valid
from auth1.pages.headers import origin_of
from auth1.services import Services

_CHANNELS: dict[str, Channel] = {"use_email": "email", "use_phone": "sms"}
# The forms that send or verify a code, by step and action.
_FORMS: dict[tuple[Step, str], Callable[[Visit, Login, Form], Awaitable[Response | None]]] = {
    ("start", "proceed"): steps.send_first_code,
    ("code", "verify"): steps.verify,
    ("code", "resend"): steps.send_another_code,
    ("code", "use_link"): links.send_link,
    ("waiting", "use_link"): links.send_link,
    ("waiting", "use_code"): steps.send_another_code,
    ("profile", "proceed"): profile.send_first_code,
    ("profile", "verify"): profile.verify,
    ("profile", "resend"): profile.send_another_code,
}

_MAIN_ACTIONS: dict[Step, str] = {
    "start": "proceed",
    "code": "verify",
    "waiting": "proceed",
    "account": "adopt",
    "consent": "allow",
}


async def show_login(app: Services, request: Request[Issuer]) -> Response:
    """Show the page of a login.

    Only the browser that started the login sees it, for an hour. The page is complete without scripts.
    """
    visit = await read_visit(app, request)
    login = visit.login
    if login is None or login.is_over:
        return endings.expired_page(visit, login)
    page = await _show(visit, login)
    return _reload(visit) if page is None else page


async def continue_login(app: Services, request: Request[Issuer], body: Form) -> Response:
    """Process a form of a login, then load its page again.

    A form of another page is rejected. A form of a step that is over changes nothing.
    """
    check_origin(request, origin_of(request.caller.url))
    visit = await read_visit(app, request)
    login = visit.login
    if login is None or login.is_over:
        # Another tab may have replaced the cookie since: the browser shows what holds now.
        return _reload(visit)
    token, step = body.value(FIELD), body.value("step")
    if step != login.step or not token_is_valid(app.keyring, token, visit.secret, login.login_id, login.step):
        return _reload(visit)
    page = await _act(visit, login, body)
    return _reload(visit) if page is None else page


async def get_login_status(app: Services, request: Request[Issuer]) -> LoginStatus:
    """Return the delivery state of the message with the code, for the script of the page."""
    visit = await read_visit(app, request)
    login = visit.login
    if login is not None and not login.is_over and login.step == "waiting":
        return await links.find_status(visit, login)
    has_code = login is not None and (login.step == "code" or login.addition is not None)
    if login is None or login.is_over or not has_code:
        return LoginStatus(text="", final=True, reload=True)
    delivery, is_final = steps.find_delivery(visit, login)
    return LoginStatus(text=delivery, final=is_final, reload=False)


async def _show(visit: Visit, login: Login) -> Response | None:
    match login.step:
        case "start":
            return views.start_page(visit, login)
        case "code":
            return steps.show_code(visit, login)
        case "waiting":
            return await links.show_waiting(visit, login)
        case "profile":
            return await profile.show(visit, login)
        case "account":
            return await steps.show_account(visit)
        case "consent":
            return views.consent_page(visit, login)
        case "done":
            return await completion.leave(visit, login)
        case "refused":
            return endings.denied_page(visit, login, "banned")
    return endings.expired_page(visit, login)


async def _act(visit: Visit, login: Login, form: Form) -> Response | None:
    action = form.value("do")
    if action is None:
        action = _main_action(login)
    act = _FORMS.get((login.step, action))
    if act is not None:
        return await act(visit, login, form)
    match login.step, action:
        case "profile", "change":
            await store.change_addition(visit.app.postgres, visit.key)
        case (("start" | "code" | "waiting" | "account"), ("change" | "use_email" | "use_phone")):
            await store.start_again(visit.app.postgres, visit.key, _CHANNELS.get(action))
        case "waiting", "proceed":
            return await links.redeem(visit, login)
        case "account", "adopt":
            return await steps.adopt(visit, login)
        case "consent", "allow":
            await completion.allow(visit, login)
        case (("start" | "code" | "waiting" | "profile" | "account" | "refused"), "cancel"):
            return await completion.cancel(visit, login)
        case "consent", "deny":
            return await completion.cancel(visit, login)
    return None


def _main_action(login: Login) -> str:
    """Return the action of a form without one: it was sent by the Enter key of an old browser, or by a program."""
    if login.step == "profile":
        return "proceed" if login.addition is None else "verify"
    return _MAIN_ACTIONS.get(login.step, "")


def _reload(visit: Visit) -> Response:
    return views.redirect(visit, visit.url)
