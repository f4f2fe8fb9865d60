"""The account pages as responses."""

from collections.abc import Sequence
from typing import NamedTuple

from auth1.applications.consents import Consent
from auth1.core.http.request import Response
from auth1.hosted import views
from auth1.hosted.visits import Visit
from auth1.identifiers import CHANNELS, IdentifierType
from auth1.magic_links.devices import describe_device
from auth1.sessions import browser
from auth1.sessions.schemas import SessionOut, SessionUser
from auth1.templates import html


class _Identifier(NamedTuple):
    kind: IdentifierType
    label: str
    value: str | None
    can_change: bool
    can_remove: bool


class _Device(NamedTuple):
    id: str
    device: str
    network: str | None
    date: str
    current: bool


class _App(NamedTuple):
    id: str
    name: str
    scopes: str


def account_page(
    visit: Visit, user: SessionUser | None, sessions: Sequence[SessionOut], apps: Sequence[Consent], current_id: str
) -> Response:
    """Return the page of identifiers, devices and applications. `current_id`: of the session of this browser."""
    return views.render_page(
        visit,
        html.ACCOUNT,
        views.text(visit, "my_account"),
        identifiers=_identifiers(visit, user) if user is not None else [],
        sessions=[_device(visit, one, current_id) for one in sessions],
        apps=[_app(visit, one) for one in apps],
    )


def remove_page(visit: Visit, kind: IdentifierType, path: str) -> Response:
    """Return the page that confirms the removal of an identifier. `path`: of the account."""
    return views.render_page(visit, html.ACCOUNT_REMOVE, views.text(visit, f"remove_{kind}"), kind=kind, path=path)


def erase_page(visit: Visit, path: str) -> Response:
    """Return the page that confirms the deletion of the account. `path`: of the account."""
    return views.render_page(visit, html.ACCOUNT_ERASE, views.text(visit, "erase_title"), path=path)


def last_page(visit: Visit, title: str) -> Response:
    """Delete the cookie of the session, and return the last page."""
    browser.clear_session(visit.request, visit.tenant, secure=visit.is_secure)
    return views.render_page(
        visit,
        html.LOGIN_MESSAGE,
        views.text(visit, title),
        text=views.text(visit, "close_page"),
        is_reported=False,
        url=None,
        back="",
    )


def _identifiers(visit: Visit, user: SessionUser) -> list[_Identifier]:
    """Return phone and email.

    One can be changed where its channel has a provider, and removed where the user has both.
    """
    channels, required = views.available_channels(visit), visit.tenant.settings.required_identifiers
    has_both = user.phone is not None and user.email is not None
    values: list[tuple[IdentifierType, str | None]] = [("phone", user.phone), ("email", user.email)]
    return [
        _Identifier(
            kind,
            views.text(visit, kind),
            value,
            can_change=CHANNELS[kind] in channels,
            can_remove=has_both and kind not in required,
        )
        for kind, value in values
        if value is not None or CHANNELS[kind] in channels
    ]


def _device(visit: Visit, session: SessionOut, current_id: str) -> _Device:
    name = session.device_name or describe_device(session.user_agent) or views.text(visit, "unknown_device")
    date = session.created_at.date().isoformat()
    return _Device(session.session_id, name, session.network, date, session.session_id == current_id)


def _app(visit: Visit, consent: Consent) -> _App:
    return _App(consent.client_id, consent.name, ", ".join(views.scope_texts(visit, consent.scopes)))
