"""Log in by a magic link: send it, wait until it is opened on any device, and continue here."""

from auth1.api_error import PowChallenge
from auth1.challenges import magic_link
from auth1.challenges.magic_link import LinkOptions
from auth1.challenges.schemas import ChallengeOut
from auth1.challenges.send_code import LOGIN, SendCode, send_code
from auth1.challenges.store import find_challenge
from auth1.core.crypto import digest
from auth1.core.http.request import Form, Response
from auth1.errors import ApiError, AuthorizationPending, NoActiveChallenge, ProofRequired, Unavailable, UserBanned
from auth1.hosted import store, views
from auth1.hosted.login import steps
from auth1.hosted.login.completion import finish
from auth1.hosted.login.problems import problem_of
from auth1.hosted.login.schemas import LoginStatus
from auth1.hosted.records import Login, SentCode
from auth1.hosted.visits import Visit
from auth1.magic_links.redeem import open_session
from auth1.magic_links.store import Proof
from auth1.sessions.create import user_agent

_PURPOSE = "hosted link"


async def send_link(visit: Visit, login: Login, form: Form) -> Response | None:
    """Send a link to the email that was entered. The database stores its secret encrypted."""
    recipient, request = login.recipient, visit.request
    assert recipient is not None, "a login in the step `code` or `waiting` has a recipient"
    options = LinkOptions(with_code=False, user_agent=user_agent(request), network=request.network)
    proof = steps.read_proof(form.value("proof"))
    order = SendCode(recipient, LOGIN, locale=visit.message_locale, link=options, proof=proof)
    try:
        if recipient.channel != "email":
            return None
        answer = await send_code(visit.app, request, visit.tenant, order)
    except ProofRequired as error:
        if not isinstance(error.proof, PowChallenge):
            raise
        return views.proof_page(visit, recipient, error.proof, "use_link")
    except Unavailable:
        raise
    except ApiError as error:
        problem = problem_of(visit, error)
        if login.step == "code":
            return steps.show_code(visit, login, problem=problem)
        return await show_waiting(visit, login, problem=problem)
    assert isinstance(answer.challenge_secret, str), "a link without a redirect has a secret"
    box = visit.app.keyring.seal(_PURPOSE, answer.challenge_secret.encode(), _context(visit))
    sent = SentCode(recipient, answer.challenge_id, answer.code_length, answer.resend_after, box)
    await store.record_sent(visit.app.postgres, visit.key, sent)
    return None


async def show_waiting(visit: Visit, login: Login, *, problem: str | None = None) -> Response:
    """Show that a link was sent. Once it is opened, the page continues."""
    challenge = await _challenge(visit, login)
    is_confirmed = challenge is not None and challenge.status == "answered" and problem is None
    return views.waiting_page(
        visit,
        login,
        _delivery(visit, challenge),
        is_confirmed=is_confirmed,
        link=_sandbox_link(visit, challenge),
        problem=problem,
    )


async def find_status(visit: Visit, login: Login) -> LoginStatus:
    """Return whether the link was opened, for the script of the page."""
    challenge = await _challenge(visit, login)
    status = challenge.status if challenge is not None else "expired"
    if status == "open":
        return LoginStatus(text=_delivery(visit, challenge), final=False, reload=False)
    if status == "answered":
        return LoginStatus(text="", final=True, reload=True)
    return LoginStatus(text=views.text(visit, "link_ended"), final=True, reload=False)


async def redeem(visit: Visit, login: Login) -> Response | None:
    """Open the session of the browser with the link that was opened."""
    box, app = login.link_box, visit.app
    secret = None if box is None else app.keyring.open(_PURPOSE, box, _context(visit))
    try:
        if secret is None:
            raise NoActiveChallenge
        proof = Proof(challenge_id=login.challenge_id, secret_digest=digest(secret.decode()))
        opened, identifier = await open_session(app, visit.request, visit.tenant, proof)
    except UserBanned:
        await store.deny_login(app.postgres, visit.key)
        return None
    except Unavailable:
        raise
    except ApiError as error:
        current = await store.find_login(app.postgres, visit.key)
        if current is None or current.step != "waiting":  # another tab was faster, and may have replaced the cookie
            return None
        return await show_waiting(visit, current, problem=_problem(visit, error))
    return await finish(visit, login, opened, identifier)


async def _challenge(visit: Visit, login: Login) -> ChallengeOut | None:
    if login.challenge_id is None:
        return None
    return await find_challenge(visit.app.postgres, visit.tenant.id, login.challenge_id)


def _delivery(visit: Visit, challenge: ChallengeOut | None) -> str:
    if challenge is None or visit.tenant.settings.sign_up == "closed":  # it would reveal a user
        return ""
    return views.delivery_text(visit, challenge.message.state if challenge.message is not None else None)[0]


def _sandbox_link(visit: Visit, challenge: ChallengeOut | None) -> str | None:
    """Return the link itself in the sandbox, which sends no emails."""
    if not visit.tenant.sandbox or challenge is None or challenge.message is None:
        return None
    token = magic_link.derive(visit.app.keyring, visit.tenant.id, challenge.message.message_id)[0]
    return visit.tenant.base_url(visit.app.settings.app_url) + magic_link.PATH.format(token=token)


def _problem(visit: Visit, error: ApiError) -> str:
    if isinstance(error, AuthorizationPending):
        return views.text(visit, "link_pending")
    if isinstance(error, NoActiveChallenge):
        return views.text(visit, "link_ended")
    return problem_of(visit, error)


def _context(visit: Visit) -> bytes:
    return f"{visit.tenant.id}\0{visit.login_id}".encode()
