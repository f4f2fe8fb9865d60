"""The end of a hosted login: the user is known, and the browser returns to the application or the account pages."""

import asyncio
from contextlib import suppress
from typing import NamedTuple

from auth1.account.required import missing_identifiers
from auth1.authn.limits import LOGINS
from auth1.challenges.verify_code import OpenedSession, keep_unanswered
from auth1.core.crypto import digest
from auth1.core.http.request import Response
from auth1.errors import NotFound, Unavailable
from auth1.events.log import event_context
from auth1.hosted import store, views
from auth1.hosted.login import endings
from auth1.hosted.records import Completion, Login, Step
from auth1.hosted.visits import Visit
from auth1.identifiers import Channel, Identifier, IdentifierType
from auth1.oauth.authorization import codes, consents
from auth1.pages import browser_cookie
from auth1.sessions import browser, create
from auth1.sessions.end import LOGOUT, end_one


class Proven(NamedTuple):
    """A user with a session, and the identifier to show."""

    user_id: str
    session_id: str
    channel: Channel
    identifier: str | None


def is_wanted(login: Login, proven: Proven) -> bool:
    """Return whether the application wants any user, or this one."""
    return login.authorization.hint_user_id in (None, proven.user_id)


async def finish(visit: Visit, login: Login, opened: OpenedSession, identifier: Identifier) -> Response | None:
    """Complete a login whose code or link was consumed. Without an answer, its repeat finds the session, or it ends."""
    proven = Proven(opened.user_id, opened.session.session_id, identifier.channel, identifier.value)
    try:
        await create.count_session(
            visit.app, visit.request, visit.tenant, opened.user_id, is_new_user=opened.is_new_user
        )
        return await _complete_opened(visit, login, proven, browser.AMR[identifier.channel])
    except (Unavailable, asyncio.CancelledError):
        if opened.submission is not None:
            await keep_unanswered(visit.app, opened.submission)
        else:
            with suppress(NotFound, Unavailable):
                await _end(visit, proven)
        raise


async def _complete_opened(visit: Visit, login: Login, proven: Proven, amr: list[str]) -> Response | None:
    """Complete a login with a session that was just opened, or end that session."""
    app, request = visit.app, visit.request
    app.limiter.release_later(LOGINS.of(app.settings, request.client))  # a completed login does not count
    wanted = is_wanted(login, proven)
    if not wanted or not await complete(visit, login, proven, amr):
        with suppress(NotFound):  # no browser has the cookie of this session
            await _end(visit, proven)
    return None if wanted else await cancel(visit, login, "login_required")


async def _end(visit: Visit, proven: Proven) -> None:
    user_id, session_id = proven.user_id, proven.session_id
    await end_one(visit.app, visit.request, visit.tenant.id, user_id, session_id, user_id, LOGOUT)


async def complete(visit: Visit, login: Login, proven: Proven, amr: list[str]) -> bool:
    """Store user and session, and replace both cookies of the browser. Return False if the login is at a later step."""
    app, request, tenant = visit.app, visit.request, visit.tenant
    adding = login.adding if login.client_id is None else await next_missing(visit, proven.session_id)
    secret = browser_cookie.new_secret()
    completion = Completion(
        digest(secret), proven.identifier, proven.channel, proven.user_id, proven.session_id, amr, adding
    )
    if not await store.complete_login(app.postgres, visit.key, completion):
        return False
    browser_cookie.set_secret(request, tenant.id, secret, secure=visit.is_secure)
    browser.set_session(app, request, tenant, proven.session_id, secure=visit.is_secure)
    return True


async def next_missing(visit: Visit, session_id: str) -> IdentifierType | None:
    """Return the first identifier that the tenant requires and the user lacks."""
    missing = await missing_identifiers(visit.app, visit.tenant, session_id)
    return missing[0] if missing else None


async def step_after_profile(visit: Visit, login: Login, user_id: str) -> Step:
    """Return the step of a user that lacks no identifier."""
    asks = login.authorization
    if login.client_id is not None and (
        "consent" in asks.prompt
        or await consents.needs_consent(visit.app, visit.issuer, user_id, asks.client_id, asks.scopes)
    ):
        return "consent"
    return "done"


async def allow(visit: Visit, login: Login) -> None:
    """Store the consent of the user, if its session is still that of the browser. Otherwise the user logs in first."""
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
    """Return to the application with the code of the login, or with a new one; or show the account."""
    if login.client_id is None:
        return views.redirect(visit, login.authorization.redirect_uri)
    if login.is_redeemed:
        return endings.done_page(visit, login)
    if login.has_code:
        asks, number = login.authorization, login.code_number
        with_code = codes.respond_with_code(visit.app, visit.issuer, asks, login.login_id, number)
        return endings.leave_page(visit, login, with_code)
    response = await codes.issue_code(visit.app, visit.issuer, login.login_id, visit.key.browser_digest)
    return endings.expired_page(visit, login) if response is None else endings.leave_page(visit, login, response)


async def cancel(visit: Visit, login: Login, error: str = "access_denied") -> Response:
    """Report an error to the application, and lead to it; or show the account."""
    if login.client_id is None:
        return views.redirect(visit, login.authorization.redirect_uri)
    response = await codes.deny(visit.app, visit.issuer, login.login_id, visit.key.browser_digest, error)
    return endings.expired_page(visit, login) if response is None else endings.leave_page(visit, login, response)
