"""The pages of a hosted login as responses, one function for each state."""

from collections.abc import Sequence

import msgspec
from jinja2 import Template

from auth1.api_error import PowChallenge
from auth1.core.http.request import Response
from auth1.hosted.store import Login
from auth1.hosted.typed import shown_number
from auth1.hosted.visits import Visit
from auth1.identifiers import Channel, Identifier
from auth1.oauth.codes import AuthorizationResponse
from auth1.pages.errors import HTML
from auth1.pages.forms import form_token
from auth1.pages.headers import form_page_headers, origin_of
from auth1.pages.script import SCRIPT
from auth1.templates import html
from auth1.templates.locales import parse_accept_language
from auth1.templates.login_pages import Frame, duration, render_login
from auth1.templates.pages import Look
from auth1.templates.strings import STRINGS

PROBLEM = 422  # a form that was sent has a problem; the page says what to change
_SCOPES = ("openid", "profile", "email", "phone", "offline_access")
_TYPES: dict[Channel | None, tuple[str, str]] = {
    None: ("text", "username"),
    "sms": ("tel", "tel"),
    "email": ("email", "email"),
}
_LABELS: dict[Channel | None, str] = {None: "identifier", "sms": "phone", "email": "email"}
_OTHER: dict[Channel | None, Channel] = {"sms": "email", "email": "sms"}


def start_page(visit: Visit, login: Login, *, typed: str = "", problem: str | None = None) -> Response:
    """Return the page with one field for a phone or an email."""
    channels = available_channels(visit)
    channel = login.channel if login.channel in channels else (channels[0] if len(channels) == 1 else None)
    input_type, autocomplete = _TYPES[channel]
    has_hint = channel != "email"
    other = _OTHER.get(channel)
    return render_page(
        visit,
        html.LOGIN_START,
        text(visit, "title", brand=visit.brand),
        problem=problem,
        label=text(visit, _LABELS[channel]),
        type=input_type,
        autocomplete=autocomplete,
        has_hint=has_hint,
        described_by=_described_by("hint" if has_hint else "", problem),
        typed=typed or login.authorization.login_hint or "",
        others=[_other(visit, other)] if other is not None and other in channels else [],
        languages=[(tag, strings.login.language_name) for tag, strings in STRINGS.items()],
    )


def confirm_page(visit: Visit, identifier: Identifier) -> Response:
    """Return the page that shows a phone number before a message is paid for."""
    return render_page(
        visit,
        html.LOGIN_CONFIRM,
        text(visit, "confirm_title"),
        number=shown_number(identifier),
        identifier=identifier.value,
        path=visit.url,
    )


def proof_page(visit: Visit, identifier: Identifier, challenge: PowChallenge, action: str) -> Response:
    """Return the page whose script solves proof of work, and sends the form again."""
    return render_page(
        visit,
        html.LOGIN_PROOF,
        text(visit, "proof_title"),
        identifier=identifier.value,
        action=action,
        challenge=msgspec.json.encode(challenge).decode(),
        has_email=identifier.channel == "sms" and "email" in available_channels(visit),
    )


def code_page(visit: Visit, login: Login, delivery: str, *, problem: str | None = None) -> Response:
    """Return the page with one field for the code. `delivery` says what became of the message."""
    recipient = login.recipient
    assert recipient is not None, "a login in the step `code` has a recipient"
    wait = login.resend_after or 0
    sent = f"sent_{recipient.channel}"
    return render_page(
        visit,
        html.LOGIN_CODE,
        text(visit, "code_title"),
        problem=problem,
        sent=text(visit, sent, digits=login.code_length, destination=recipient.masked),
        delivery=delivery,
        path=visit.url,
        described_by=_described_by("sent", problem),
        resend_after=wait,
        resend_in=duration(wait),
        others=[
            ("change", text(visit, "change_phone" if recipient.channel == "sms" else "change_email")),
            *(_other(visit, channel) for channel in available_channels(visit) if channel != recipient.channel),
        ],
    )


def account_page(visit: Visit, name: str) -> Response:
    """Return the page that offers the account of the browser's session."""
    return render_page(visit, html.LOGIN_ACCOUNT, text(visit, "account_title"), name=name)


def consent_page(visit: Visit, login: Login) -> Response:
    """Return the page that asks for consent: the application, and each scope in words."""
    client = login.client_name or ""
    recipient = login.recipient
    return render_page(
        visit,
        html.LOGIN_CONSENT,
        text(visit, "consent_title", client=client, brand=visit.brand),
        client=client,
        name=recipient.masked if recipient is not None else "",
        scopes=scope_texts(visit, login.authorization.scopes),
    )


def scope_texts(visit: Visit, scopes: Sequence[str]) -> list[str]:
    """Return scopes in words: those of OpenID Connect first, in its order."""
    own = [scope for scope in scopes if scope not in _SCOPES]
    texts = [text(visit, f"scope_{scope}") for scope in _SCOPES if scope in scopes]
    return texts + [text(visit, "scope_other", name=scope) for scope in own]


def leave_page(visit: Visit, login: Login, response: AuthorizationResponse) -> Response:
    """Return the page that leads to the application.

    Browsers apply `form-action` to all redirects after a form, also to those of the application. So the last step is a
    page of its own: it also leads to private schemes, and can post the response.
    """
    posts = response.mode == "form_post"
    return render_page(
        visit,
        html.LOGIN_LEAVE,
        text(visit, "leaving", client=login.client_name or ""),
        posts_elsewhere=posts,
        url=response.redirect_uri if posts else response.location(),
        fields=response.parameters if posts else [],
    )


def done_page(visit: Visit, login: Login) -> Response:
    """Return the page of a login whose response the application has redeemed."""
    client = login.client_name or ""
    return _message(visit, "done_title", text(visit, "done", client=client), login)


def refused_page(visit: Visit, login: Login, reason: str) -> Response:
    """Return the page of a user that may not sign in. Its button reports that to the application."""
    return _message(visit, "refused_title", text(visit, reason), login, is_reported=True, status=403)


def expired_page(visit: Visit, login: Login | None = None) -> Response:
    """Return the page of a login that is unknown, too old, or of another browser."""
    return _message(visit, "expired_title", text(visit, "expired"), login, status=400)


def redirect(visit: Visit, url: str) -> Response:
    """Return the redirect to a page of ours."""
    visit.request.headers += [(b"location", url.encode()), (b"cache-control", b"no-store")]
    return Response(b"", 303)


def text(visit: Visit, key: str, /, **values: object) -> str:
    """Return a text in the language of the page."""
    return STRINGS[visit.theme.lang].login.fill(key, **values)


def available_channels(visit: Visit) -> list[Channel]:
    """Return the channels that have a provider."""
    channels: tuple[Channel, ...] = ("sms", "email")
    names = visit.app.messenger.provider_names
    return [channel for channel in channels if names(channel, sandbox=visit.tenant.sandbox)]


def accepted_languages(visit: Visit) -> list[str]:
    """Return the languages that the browser accepts."""
    header = b",".join(visit.request.values(b"accept-language"))
    return parse_accept_language(header.decode("latin-1"))


def _message(
    visit: Visit, title: str, message: str, login: Login | None, *, is_reported: bool = False, status: int = 200
) -> Response:
    """Return a page with a sentence, and the way back to the application."""
    client = login.client_name if login is not None else None
    home = _home(login) if client is not None else None
    return render_page(
        visit,
        html.LOGIN_MESSAGE,
        text(visit, title),
        status=status,
        text=message,
        is_reported=is_reported and client is not None,
        url=home,
        back=text(visit, "back", client=client) if client is not None else "",
    )


def _home(login: Login | None) -> str | None:
    """Return the address of the application, if it has one in the web."""
    redirect_uri = login.authorization.redirect_uri if login is not None else ""
    return f"{origin_of(redirect_uri)}/" if redirect_uri.startswith("http") else None


def _other(visit: Visit, channel: Channel) -> tuple[str, str]:
    action = "use_email" if channel == "email" else "use_phone"
    return action, text(visit, action)


def _described_by(hint: str, problem: str | None) -> str:
    return " ".join(name for name in (hint, "problem" if problem else "") if name)


def render_page(
    visit: Visit,
    template: Template,
    title: str,
    *,
    problem: str | None = None,
    status: int = 200,
    posts_elsewhere: bool = False,
    **values: object,
) -> Response:
    """Return a page with its headers. The tokens of its forms hold for this browser, login and step."""
    theme = visit.theme
    step = visit.login.step if visit.login is not None else ""
    token = form_token(visit.app.keyring, visit.secret, visit.login_id, step)
    look = Look(theme.lang, theme.stylesheet.text, theme.logo_url)
    can_cancel = visit.login is not None and visit.login.client_id is not None
    frame = Frame(look, visit.brand, SCRIPT.text, token, step, problem, can_cancel)
    visit.request.headers += form_page_headers(theme, posts_elsewhere=posts_elsewhere)
    page = render_login(template, frame, title, **values)
    return Response(page.encode(), PROBLEM if problem is not None else status, HTML)
