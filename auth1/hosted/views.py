"""The pages of a hosted login as responses, one function for each state."""

from collections.abc import Sequence

import msgspec
from jinja2 import Template

from auth1.api_error import PowChallenge
from auth1.core.http.request import Response
from auth1.hosted.records import Login
from auth1.hosted.typed import shown_number
from auth1.hosted.visits import Visit
from auth1.identifiers import CHANNELS, TYPES, Channel, Identifier
from auth1.pages.errors import HTML
from auth1.pages.forms import form_token
from auth1.pages.headers import form_page_headers
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
    channels, channel = login_channels(visit), login_channel(visit, login)
    input_type, autocomplete = _TYPES[channel]
    has_hint = channel != "email"
    other = _OTHER.get(channel)
    return render_page(
        visit,
        html.LOGIN_START,
        visit.own_text.title or text(visit, "title", brand=visit.brand),
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
        has_email=_can_use_email(visit, identifier),
    )


def _can_use_email(visit: Visit, identifier: Identifier) -> bool:
    """Return whether a login by phone can continue by email."""
    is_login = visit.login is None or visit.login.step != "profile"
    return is_login and identifier.channel == "sms" and "email" in login_channels(visit)


def code_page(
    visit: Visit,
    login: Login,
    recipient: Identifier,
    delivery: str,
    others: list[tuple[str, str]],
    *,
    problem: str | None = None,
) -> Response:
    """Return the page with one field for the code. `delivery` is a sentence about the message."""
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
        can_use_link=login.step == "code" and recipient.channel == "email",
        others=others,
    )


def waiting_page(
    visit: Visit, login: Login, delivery: str, *, is_confirmed: bool, link: str | None, problem: str | None = None
) -> Response:
    """Return the page that waits for a link. `link` is shown in the sandbox, which sends no emails."""
    recipient = login.recipient
    assert recipient is not None, "a login in the step `waiting` has a recipient"
    wait = login.resend_after or 0
    return render_page(
        visit,
        html.LOGIN_WAITING,
        text(visit, "done_title" if is_confirmed else "waiting_title"),
        problem=problem,
        sent=text(visit, "sent_link", destination=recipient.masked),
        delivery=delivery,
        path=visit.url,
        is_confirmed=is_confirmed,
        link=link,
        resend_after=wait,
        resend_in=duration(wait),
        others=other_ways(visit, recipient),
    )


def profile_page(visit: Visit, login: Login, *, typed: str = "", problem: str | None = None) -> Response:
    """Return the page with one field for a phone or an email that the user adds."""
    assert login.adding is not None, "a login in the step `profile` has an identifier to add"
    channel = CHANNELS[login.adding]
    input_type, autocomplete = _TYPES[channel]
    has_hint = channel != "email"
    return render_page(
        visit,
        html.LOGIN_PROFILE,
        text(visit, f"add_{login.adding}"),
        problem=problem,
        reason=text(visit, f"required_{login.adding}", brand=visit.brand) if login.client_id is not None else "",
        label=text(visit, _LABELS[channel]),
        type=input_type,
        autocomplete=autocomplete,
        has_hint=has_hint,
        described_by=_described_by("hint" if has_hint else "", problem),
        typed=typed,
        account=None if login.client_id is not None else login.authorization.redirect_uri,
    )


def delivery_text(visit: Visit, state: str | None) -> tuple[str, bool]:
    """Return a sentence for the delivery state of a message, and whether the state is final."""
    match state:
        case "queued":
            return text(visit, "sending"), False
        case "sent":
            return text(visit, "message_sent"), False
        case "delivered":
            return text(visit, "delivered"), True
        case "failed":
            recipient = visit.login.recipient if visit.login is not None else None
            has_email = recipient is not None and _can_use_email(visit, recipient)
            return text(visit, "undelivered_phone" if has_email else "undelivered"), True
    return "", False


def other_ways(visit: Visit, recipient: Identifier) -> list[tuple[str, str]]:
    """Return the actions that change the recipient or the channel of a login, and their texts."""
    ways = [_other(visit, channel) for channel in login_channels(visit) if channel != recipient.channel]
    return [change_way(visit, recipient), *ways]


def change_way(visit: Visit, recipient: Identifier) -> tuple[str, str]:
    """Return the action that changes the recipient, and its text."""
    return "change", text(visit, "change_phone" if recipient.channel == "sms" else "change_email")


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


def login_channels(visit: Visit) -> list[Channel]:
    """Return the channels that the tenant accepts at login. Those without a provider are none."""
    channels, methods = available_channels(visit), visit.tenant.settings.login_page.methods
    return [channel for channel in channels if TYPES[channel] in methods] or channels


def login_channel(visit: Visit, login: Login) -> Channel | None:
    """Return the only channel that the field of a login accepts; None for any."""
    channels = login_channels(visit)
    if login.channel in channels:
        return login.channel
    return channels[0] if len(channels) == 1 else None


def accepted_languages(visit: Visit) -> list[str]:
    """Return the languages that the browser accepts."""
    header = b",".join(visit.request.values(b"accept-language"))
    return parse_accept_language(header.decode("latin-1"))


def _other(visit: Visit, channel: Channel) -> tuple[str, str]:
    action = "use_email" if channel == "email" else "use_phone"
    return action, text(visit, action)


def _legal(visit: Visit) -> tuple[tuple[str, str], ...]:
    """Return the texts and addresses of the tenant's legal pages."""
    page = visit.tenant.settings.login_page
    pages = (("terms", page.terms_url), ("privacy", page.privacy_url))
    return tuple((text(visit, name), url) for name, url in pages if url is not None)


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
    footer, legal = visit.own_text.footer, _legal(visit)
    frame = Frame(look, visit.brand, SCRIPT.text, token, step, problem, can_cancel, footer, legal)
    visit.request.headers += form_page_headers(theme, posts_elsewhere=posts_elsewhere)
    page = render_login(template, frame, title, **values)
    return Response(page.encode(), PROBLEM if problem is not None else status, HTML)
