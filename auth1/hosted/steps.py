"""The steps of a hosted login. Each one sends or verifies a code by the same step as the API.

A step returns a page, or None where the browser must load the page of the login again. The database decides about each
move: a form of a step that is over changes nothing.
"""

import time
from contextlib import suppress
from typing import NamedTuple

from msgspec import structs

from auth1.api_error import PowChallenge
from auth1.challenges.send_code import LOGIN, SendCode, send_code
from auth1.challenges.store import find_challenge
from auth1.challenges.verify_code import VerifyCode, open_session
from auth1.core.crypto import digest
from auth1.core.http.request import Form, Response
from auth1.errors import ApiError, NotFound, ProofRequired, ResendTooSoon, Unavailable, UserBanned, ValidationFailed
from auth1.events.log import event_context
from auth1.fraud.proofs.schemas import PowProof
from auth1.fraud.proofs.work import parse_payload
from auth1.hosted import store, views
from auth1.hosted.problems import problem_of
from auth1.hosted.store import Completion, Login, SentCode, Step
from auth1.hosted.typed import countries_of, read_code, read_identifier
from auth1.hosted.visits import Visit
from auth1.identifiers import Channel, Identifier, stored_identifier
from auth1.oauth import codes, consents
from auth1.pages import browser_cookie
from auth1.sessions import browser, create
from auth1.sessions.end import LOGOUT, end_one
from auth1.tenants.settings import Tenant

_MAX_PROOF = 1024


async def send_first_code(visit: Visit, login: Login, form: Form) -> Response | None:
    """Read the phone or email, and send a code. A number without its country code is shown first."""
    typed = form.value("identifier") or ""
    countries = countries_of(visit.tenant.settings, views.accepted_languages(visit))
    try:
        found = read_identifier(typed, login.channel, countries)
        if found.needs_confirmation:
            return views.confirm_page(visit, found.identifier)
        return await _send(visit, found.identifier, form, action="proceed")
    except Unavailable:
        raise
    except ApiError as error:
        problem = problem_of(visit, error, login.channel)
        return views.start_page(visit, login, typed=typed[:320], problem=problem)


async def send_another_code(visit: Visit, login: Login, form: Form) -> Response | None:
    """Send the code again, or a new one where it has expired. The server decides when that is allowed."""
    recipient = login.recipient
    assert recipient is not None, "a login in the step `code` has a recipient"
    try:
        return await _send(visit, recipient, form, action="resend", challenge_id=login.challenge_id)
    except Unavailable:
        raise
    except ApiError as error:
        return await show_code(visit, login, problem=problem_of(visit, error))


async def _send(
    visit: Visit, identifier: Identifier, form: Form, *, action: str, challenge_id: str | None = None
) -> Response | None:
    tenant = _with_autofill(visit)
    order = SendCode(
        identifier,
        LOGIN,
        locale=visit.message_locale,
        challenge_id=challenge_id,
        proof=_read_proof(form.value("proof")),
    )
    try:
        answer = await send_code(visit.app, visit.request, tenant, order)
    except ProofRequired as error:
        if not isinstance(error.proof, PowChallenge):
            raise
        return views.proof_page(visit, identifier, error.proof, action)
    except ResendTooSoon as error:
        if challenge_id is not None or tenant.settings.require_challenge_id:
            raise
        # Another login has just sent a code, which is valid here too.
        sent = SentCode(identifier, None, tenant.settings.otp_length, error.retry_after or 0)
    else:
        sent = SentCode(identifier, answer.challenge_id, answer.code_length, answer.resend_after)
    await store.record_sent(visit.app.postgres, visit.key, sent)
    return None


async def verify(visit: Visit, login: Login, form: Form) -> Response | None:
    """Verify the code, and open the session of the browser."""
    recipient = login.recipient
    assert recipient is not None, "a login in the step `code` has a recipient"
    code = read_code(form.value("code") or "")
    if not (code.isascii() and code.isdigit() and 4 <= len(code) <= 12):
        problem = views.text(visit, "incomplete", digits=login.code_length)
        return await show_code(visit, login, problem=problem)
    answer = VerifyCode(recipient, code, login.challenge_id)
    visit.request.log["identifier"] = recipient.masked
    try:
        opened = await open_session(visit.app, visit.request, visit.tenant, answer)
    except UserBanned:
        await store.refuse_login(visit.app.postgres, visit.key)
        return None
    except Unavailable:
        raise
    except ApiError as error:
        current = await store.find_login(visit.app.postgres, visit.key)
        if current is None or current.step != "code":  # another tab was faster, and may have replaced the cookie
            return None
        return await show_code(visit, current, problem=problem_of(visit, error))
    await create.count_session(visit.app, visit.tenant, opened.user_id, is_new_user=opened.is_new_user)
    proven = Proven(opened.user_id, opened.session.session_id, recipient.channel, recipient.value)
    is_wanted = _is_wanted(login, proven)
    if not is_wanted or not await _complete(visit, login, proven, browser.AMR[recipient.channel]):
        with suppress(NotFound):  # no browser has the cookie of this session
            await end_one(
                *(visit.app, visit.request, visit.tenant.id, proven.user_id, proven.session_id, proven.user_id, LOGOUT)
            )
    return None if is_wanted else await cancel(visit, login, "login_required")


class Proven(NamedTuple):
    """A user with a session, and the identifier to show."""

    user_id: str
    session_id: str
    channel: Channel
    identifier: str | None


async def show_account(visit: Visit) -> Response | None:
    """Show the account of the browser's session; without one the login starts from the beginning."""
    session = await browser.read(visit.app, visit.request, visit.tenant, secure=visit.is_secure)
    if session is None:
        await store.start_again(visit.app.postgres, visit.key, None)
        return None
    name = session.user_id
    if session.identifier is not None:
        name = stored_identifier("phone" if session.channel == "sms" else "email", session.identifier).masked
    return views.account_page(visit, name)


async def adopt(visit: Visit, login: Login) -> Response | None:
    """Continue with the session of the browser, unless the application wants a new sign-in."""
    session = await browser.read(visit.app, visit.request, visit.tenant, secure=visit.is_secure)
    asks = login.authorization
    if (
        session is None
        or "login" in asks.prompt
        or (asks.max_age is not None and time.time() - session.authenticated_at > asks.max_age)
    ):
        await store.start_again(visit.app.postgres, visit.key, None)
        return None
    proven = Proven(session.user_id, session.session_id, session.channel, session.identifier)
    if not _is_wanted(login, proven):
        return await cancel(visit, login, "login_required")
    await _complete(visit, login, proven, session.amr)
    return None


async def allow(visit: Visit, login: Login) -> None:
    """Keep the consent of the user, whose session is still that of the browser. Otherwise the user signs in first."""
    session = await browser.read(visit.app, visit.request, visit.tenant, secure=visit.is_secure)
    if session is None or session.session_id != login.session_id:
        await store.start_again(visit.app.postgres, visit.key, None)
        return
    assert login.user_id is not None, "a login in the step `consent` has a user"
    asks = login.authorization
    context = event_context(visit.request, login.user_id)
    await consents.give_consent(visit.app, visit.issuer, login.user_id, asks.client_id, asks.scopes, context)
    await store.finish_consent(visit.app.postgres, visit.key)


async def leave(visit: Visit, login: Login) -> Response:
    """Issue the code, and lead to the application; or show the account."""
    if login.client_id is None:
        return views.redirect(visit, login.authorization.redirect_uri)
    if login.is_redeemed:
        return views.done_page(visit, login)
    response = await codes.issue_code(visit.app, visit.issuer, login.id, visit.key.browser_digest)
    return views.expired_page(visit, login) if response is None else views.leave_page(visit, login, response)


async def cancel(visit: Visit, login: Login, error: str = "access_denied") -> Response:
    """Report an error to the application, and lead to it."""
    response = await codes.refuse(visit.app, visit.issuer, login.id, visit.key.browser_digest, error)
    return views.expired_page(visit, login) if response is None else views.leave_page(visit, login, response)


async def show_code(visit: Visit, login: Login, *, problem: str | None = None) -> Response:
    """Show the page of the code, with what became of the message."""
    delivery, _ = await find_delivery(visit, login)
    return views.code_page(visit, login, delivery, problem=problem)


async def find_delivery(visit: Visit, login: Login) -> tuple[str, bool]:
    """Return what became of the message, in words, and whether that is final."""
    tenant = visit.tenant
    if login.challenge_id is None or tenant.settings.sign_up == "closed":  # it would reveal a user
        return "", True
    challenge = await find_challenge(visit.app.postgres, tenant.id, login.challenge_id)
    state = challenge.message.state if challenge is not None and challenge.message is not None else None
    if state == "delivered":
        return views.text(visit, "delivered"), True
    if state == "failed":
        return views.text(visit, "undelivered"), True
    return "", False


def _is_wanted(login: Login, proven: Proven) -> bool:
    """Return whether the application wants any user, or this one."""
    return login.authorization.hint_user_id in (None, proven.user_id)


async def _complete(visit: Visit, login: Login, proven: Proven, amr: list[str]) -> bool:
    """Keep user and session, and replace both cookies of the browser. False if the login has moved on."""
    app, request, tenant = visit.app, visit.request, visit.tenant
    asks = login.authorization
    step: Step = "done"
    if login.client_id is not None and (
        "consent" in asks.prompt
        or await consents.needs_consent(app, visit.issuer, proven.user_id, asks.client_id, asks.scopes)
    ):
        step = "consent"
    secret = browser_cookie.new_secret()
    completion = Completion(
        step, proven.identifier, proven.channel, proven.user_id, proven.session_id, amr, digest(secret)
    )
    if not await store.complete_login(app.postgres, visit.key, completion):
        return False
    browser_cookie.set_secret(request, tenant.id, secret, secure=visit.is_secure)
    browser.set_session(app, request, tenant, proven.session_id, secure=visit.is_secure)
    return True


def _with_autofill(visit: Visit) -> Tenant:
    """Return the tenant with the host of this page as the only one where browsers fill in the code of an SMS."""
    host = visit.issuer.url.partition("://")[2].partition("/")[0].partition(":")[0]
    if not host.rpartition(".")[2][:1].isalpha():  # an IP address is not a host name
        return visit.tenant
    settings = structs.replace(visit.tenant.settings, sms_autofill_host=host)
    return structs.replace(visit.tenant, settings=settings)


def _read_proof(payload: str | None) -> PowProof | None:
    """Return the solution of the page's script. Anything else is no proof."""
    if not payload or len(payload) > _MAX_PROOF:
        return None
    try:
        parse_payload(payload)
    except ValidationFailed:
        return None
    return PowProof(payload)
