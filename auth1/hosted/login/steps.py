"""The steps of a hosted login. Each one sends or verifies a code by the same step as the API.

A step returns a page, or None where the browser must load the page of the login again. The database decides about each
move: a form of a step that is over changes nothing.
"""

from msgspec import structs

from auth1.api_error import PowChallenge
from auth1.challenges.send_code import LOGIN, SendCode, send_code
from auth1.challenges.verify_code import VerifyCode, open_session
from auth1.core.http.request import Form, Response
from auth1.errors import ApiError, ProofRequired, ResendTooSoon, Unavailable, UserBanned, ValidationFailed
from auth1.fraud.proofs.schemas import PowProof
from auth1.fraud.proofs.work import parse_payload
from auth1.hosted import store, views
from auth1.hosted.login.completion import Proven, cancel, complete, finish, is_wanted, next_missing
from auth1.hosted.login.problems import problem_of
from auth1.hosted.records import Login, SentCode
from auth1.hosted.typed import countries_of, is_code, read_code, read_identifier
from auth1.hosted.visits import Visit
from auth1.identifiers import Identifier, stored_identifier
from auth1.sessions import browser
from auth1.sessions.guards import RECENT_LOGIN_S
from auth1.tenants.settings import Tenant

_MAX_PROOF = 1024


async def send_first_code(visit: Visit, login: Login, form: Form) -> Response | None:
    """Read the phone or email, and send a code. A number without its country code is shown first."""
    typed, channel = form.value("identifier") or "", views.login_channel(visit, login)
    countries = countries_of(visit.tenant.settings, views.accepted_languages(visit))
    try:
        found = read_identifier(typed, channel, countries)
        if found.needs_confirmation:
            return views.confirm_page(visit, found.identifier)
        return await _send(visit, found.identifier, form, action="proceed")
    except Unavailable:
        raise
    except ApiError as error:
        problem = problem_of(visit, error, channel)
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
        return show_code(visit, login, problem=problem_of(visit, error))


async def _send(
    visit: Visit, identifier: Identifier, form: Form, *, action: str, challenge_id: str | None = None
) -> Response | None:
    tenant = with_autofill(visit)
    order = SendCode(
        identifier,
        LOGIN,
        locale=visit.message_locale,
        challenge_id=challenge_id,
        proof=read_proof(form.value("proof")),
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
    if not is_code(code):
        problem = views.text(visit, "incomplete", digits=login.code_length)
        return show_code(visit, login, problem=problem)
    answer = VerifyCode(recipient, code, login.challenge_id)
    visit.request.log["identifier"] = recipient.masked
    try:
        opened = await open_session(visit.app, visit.request, visit.tenant, answer)
    except UserBanned:
        await store.deny_login(visit.app.postgres, visit.key)
        return None
    except Unavailable:
        raise
    except ApiError as error:
        current = await store.find_login(visit.app.postgres, visit.key)
        if current is None or current.step != "code":  # another tab was faster, and may have replaced the cookie
            return None
        return show_code(visit, current, problem=problem_of(visit, error))
    return await finish(visit, login, opened, recipient)


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
    """Continue with the session of the browser, unless the application wants a new login."""
    session = await browser.read(visit.app, visit.request, visit.tenant, secure=visit.is_secure)
    asks = login.authorization
    if (
        session is None
        or "login" in asks.prompt
        or (asks.max_age is not None and visit.app.postgres.now() - session.authenticated_at > asks.max_age)
    ):
        await store.start_again(visit.app.postgres, visit.key, None)
        return None
    is_recent = visit.app.postgres.now() - session.authenticated_at <= RECENT_LOGIN_S
    if not is_recent and await next_missing(visit, session.session_id) is not None:
        # To add the missing identifier, the user logs in first.
        await store.start_again(visit.app.postgres, visit.key, None)
        return None
    proven = Proven(session.user_id, session.session_id, session.channel, session.identifier)
    if not is_wanted(login, proven):
        return await cancel(visit, login, "login_required")
    await complete(visit, login, proven, session.amr)
    return None


def show_code(visit: Visit, login: Login, *, problem: str | None = None) -> Response:
    """Show the page of the code, with the delivery of the message."""
    delivery, _ = find_delivery(visit, login)
    recipient = login.recipient
    assert recipient is not None, "a login in the step `code` has a recipient"
    others = views.other_ways(visit, recipient)
    return views.code_page(visit, login, recipient, delivery, others, problem=problem)


def find_delivery(visit: Visit, login: Login) -> tuple[str, bool]:
    """Return the delivery of the message as a sentence, and whether it is final."""
    is_login = login.step != "profile"
    # With sign-up closed the state would reveal a user.
    if login.challenge_id is None or (visit.tenant.settings.sign_up == "closed" and is_login):
        return "", True
    return views.delivery_text(visit, login.message_state)


def with_autofill(visit: Visit) -> Tenant:
    """Return the tenant with the host of this page as the only one where browsers fill in the code of an SMS."""
    host = visit.issuer.url.partition("://")[2].partition("/")[0].partition(":")[0]
    if not host.rpartition(".")[2][:1].isalpha():  # an IP address is not a host name
        return visit.tenant
    settings = structs.replace(visit.tenant.settings, sms_autofill_host=host)
    return structs.replace(visit.tenant, settings=settings)


def read_proof(payload: str | None) -> PowProof | None:
    """Return the solution of the page's script. Anything else is no proof."""
    if not payload or len(payload) > _MAX_PROOF:
        return None
    try:
        parse_payload(payload)
    except ValidationFailed:
        return None
    return PowProof(payload)
