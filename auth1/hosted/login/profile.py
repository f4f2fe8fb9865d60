"""Add a phone or email to the user of a login: one that the tenant requires, or one of the account pages.

A session that logged in within the last 5 minutes may do so, as in the API. Otherwise the user logs in first.
"""

from auth1.account import linking
from auth1.account.linking import LinkCode, Owner
from auth1.api_error import PowChallenge
from auth1.core.http.request import Form, Response
from auth1.errors import ApiError, ProofRequired, SessionRevoked, Unavailable
from auth1.hosted import store, views
from auth1.hosted.login import steps
from auth1.hosted.login.completion import next_missing, step_after_profile
from auth1.hosted.login.problems import problem_of
from auth1.hosted.records import Login, SentCode, Step
from auth1.hosted.typed import countries_of, is_code, read_code, read_identifier
from auth1.hosted.visits import Visit
from auth1.identifiers import CHANNELS, Identifier
from auth1.sessions import browser
from auth1.sessions.guards import RECENT_LOGIN_S
from auth1.sessions.schemas import SessionUser
from auth1.sessions.store import find_session


async def show(visit: Visit, login: Login) -> Response | None:
    """Show the field for the identifier, or the page of its code."""
    user = await _user(visit, login, is_recent=login.addition is None)
    if user is None:
        await store.start_again(visit.app.postgres, visit.key, None)
        return None
    if login.addition is None:
        return views.profile_page(visit, login)
    return _show_code(visit, login, login.addition)


async def send_first_code(visit: Visit, login: Login, form: Form) -> Response | None:
    """Read the phone or email, and send a code to it. A number without its country code is shown first."""
    assert login.adding is not None, "a login in the step `profile` has an identifier to add"
    channel, typed = CHANNELS[login.adding], form.value("identifier") or ""
    countries = countries_of(visit.tenant.settings, views.accepted_languages(visit))
    user = await _user(visit, login)
    if user is None:
        await store.start_again(visit.app.postgres, visit.key, None)
        return None
    try:
        found = read_identifier(typed, channel, countries)
        if found.identifier.value in (user.phone, user.email):
            return views.profile_page(visit, login, typed=typed[:320], problem=views.text(visit, "already_yours"))
        if found.needs_confirmation:
            return views.confirm_page(visit, found.identifier)
        return await _send(visit, login, found.identifier, form, "proceed")
    except Unavailable:
        raise
    except ApiError as error:
        return views.profile_page(visit, login, typed=typed[:320], problem=problem_of(visit, error, channel))


async def send_another_code(visit: Visit, login: Login, form: Form) -> Response | None:
    """Send the code again, or a new one where it has expired."""
    if login.addition is None or await _user(visit, login) is None:
        await store.start_again(visit.app.postgres, visit.key, None)
        return None
    try:
        return await _send(visit, login, login.addition, form, "resend")
    except Unavailable:
        raise
    except ApiError as error:
        return _show_code(visit, login, login.addition, problem=problem_of(visit, error))


async def verify(visit: Visit, login: Login, form: Form) -> Response | None:
    """Verify the code, and link the identifier to the user."""
    identifier, code = login.addition, read_code(form.value("code") or "")
    if identifier is None or await _user(visit, login, is_recent=False) is None:
        return None
    if not is_code(code):
        problem = views.text(visit, "incomplete", digits=login.code_length)
        return _show_code(visit, login, identifier, problem=problem)
    try:
        await linking.prove(visit.app, visit.request, _owner(visit, login), identifier, code, login.challenge_id)
    except (Unavailable, SessionRevoked):
        raise
    except ApiError as error:
        current = await store.find_login(visit.app.postgres, visit.key)
        if current is None or current.addition != identifier:  # another tab was faster
            return None
        return _show_code(visit, current, identifier, problem=problem_of(visit, error))
    await _finish(visit, login)
    return None


async def _finish(visit: Visit, login: Login) -> None:
    assert login.adding is not None, "a login in the step `profile` has an identifier to add"
    owner = _owner(visit, login)
    adding = None if login.client_id is None else await next_missing(visit, owner.session_id)
    next_step: Step = "profile" if adding is not None else await step_after_profile(visit, login, owner.user_id)
    await store.finish_addition(visit.app.postgres, visit.key, login.adding, next_step, adding)


async def _send(visit: Visit, login: Login, identifier: Identifier, form: Form, action: str) -> Response | None:
    order = LinkCode(
        identifier,
        locale=visit.message_locale,
        challenge_id=login.challenge_id if action == "resend" else None,
        proof=steps.read_proof(form.value("proof")),
    )
    try:
        answer = await linking.send_link_code(visit.app, visit.request, _owner(visit, login), order)
    except ProofRequired as error:
        if not isinstance(error.proof, PowChallenge):
            raise
        return views.proof_page(visit, identifier, error.proof, action)
    sent = SentCode(identifier, answer.challenge_id, answer.code_length, answer.resend_after)
    await store.record_addition(visit.app.postgres, visit.key, sent)
    return None


def _show_code(visit: Visit, login: Login, identifier: Identifier, *, problem: str | None = None) -> Response:
    delivery, _ = steps.find_delivery(visit, login)
    others = [views.change_way(visit, identifier)]
    return views.code_page(visit, login, identifier, delivery, others, problem=problem)


async def _user(visit: Visit, login: Login, *, is_recent: bool = True) -> SessionUser | None:
    """Return the user of the browser's session: that of the login, logged in recently."""
    session = await browser.read(visit.app, visit.request, visit.tenant, secure=visit.is_secure)
    if session is None or session.session_id != login.session_id:
        return None
    if is_recent and visit.app.postgres.now() - session.authenticated_at > RECENT_LOGIN_S:
        return None
    return await find_session(visit.app.postgres, visit.tenant.id, session.session_id)


def _owner(visit: Visit, login: Login) -> Owner:
    assert login.user_id is not None, "a login in the step `profile` has a user"
    assert login.session_id is not None, "a login in the step `profile` has a session"
    return Owner(steps.with_autofill(visit), login.user_id, login.session_id)
