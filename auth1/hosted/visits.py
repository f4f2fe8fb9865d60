"""A request of a browser to the page of its login: the login, the language, and the cookie."""

from dataclasses import dataclass
from functools import cached_property
from urllib.parse import parse_qsl

from auth1.core.crypto import digest
from auth1.core.http.request import Request
from auth1.hosted import store
from auth1.hosted.records import Login, LoginKey
from auth1.oauth.issuers import Issuer
from auth1.pages import browser_cookie
from auth1.pages.theme import Theme, tenant_theme
from auth1.services import Services
from auth1.templates import locales
from auth1.templates.schemas import LoginText
from auth1.templates.strings import STRINGS
from auth1.tenants.settings import Tenant

ACCOUNT = "account"
_NO_SECRET = ""  # no login has its digest: secrets have 43 characters


@dataclass(frozen=True)
class Visit:
    """A request to a login. `languages`: those that the user wants, in order. `secret`: of the browser's cookie.

    What pages need of the tenant is computed once, where a page needs it.
    """

    app: Services
    request: Request[Issuer]
    login_id: str
    secret: str
    login: Login | None
    languages: list[str]

    @property
    def issuer(self) -> Issuer:
        return self.request.caller

    @property
    def tenant(self) -> Tenant:
        return self.issuer.tenant

    @property
    def is_secure(self) -> bool:
        return self.issuer.url.startswith("https:")

    @cached_property
    def key(self) -> LoginKey:
        return LoginKey(self.tenant.id, self.login_id, digest(self.secret))

    @property
    def url(self) -> str:
        """Return the address of the page."""
        return f"{self.issuer.url}/login/{self.login_id}"

    @cached_property
    def theme(self) -> Theme:
        """Return the look of the page, in the first language that has built-in texts."""
        settings = self.tenant.settings
        language = locales.find(STRINGS, *self.languages, settings.default_locale)
        return tenant_theme(settings.branding(self.tenant.name), language)

    @cached_property
    def own_text(self) -> LoginText:
        """Return the tenant's own words in the language of the page."""
        texts = self.tenant.settings.login_page.texts
        known = {locales.normalise(tag): words for tag, words in texts.items()}
        return next((known[tag] for tag in locales.candidates(self.theme.lang) if tag in known), LoginText())

    @cached_property
    def brand(self) -> str:
        return self.tenant.settings.branding(self.tenant.name).name

    @property
    def message_locale(self) -> str | None:
        """Return the language of messages: one with built-in texts, else the first that the user wants."""
        known = (tag for tag in self.languages if any(each in STRINGS for each in locales.candidates(tag)))
        return next(known, self.languages[0] if self.languages else None)


async def read_visit(app: Services, request: Request[Issuer]) -> Visit:
    """Find the login of a request. Raises BadRequest when the cookie was sent twice."""
    issuer, login_id = request.caller, request.parameters["login_id"]
    secret = browser_cookie.read_secret(request, issuer.tenant.id, secure=issuer.url.startswith("https:")) or _NO_SECRET
    key, login = LoginKey(issuer.tenant.id, login_id, digest(secret)), None
    if secret:
        login = await store.find_login(app.postgres, key)
    chosen = _chosen_language(request)
    if login is not None and chosen is not None and chosen != login.locale:
        await store.set_locale(app.postgres, key, chosen)
    return Visit(app, request, login_id, secret, login, _languages(request, login, chosen))


def visit_of_account(app: Services, request: Request[Issuer], session_id: str) -> Visit:
    """Return a visit to the account pages. The tokens of their forms hold for one session."""
    return Visit(app, request, ACCOUNT, session_id, None, _languages(request, None, _chosen_language(request)))


def _languages(request: Request[Issuer], login: Login | None, chosen: str | None) -> list[str]:
    """Return the languages that the user chose, that the application names, and that the browser accepts."""
    header = b",".join(request.values(b"accept-language")).decode("latin-1")
    wanted = [chosen, login.locale] if login is not None else [chosen]
    if login is not None:
        wanted += [locales.parse_hint(tag) for tag in login.authorization.ui_locales]
    return [tag for tag in (*wanted, *locales.parse_accept_language(header)) if tag is not None]


def _chosen_language(request: Request[Issuer]) -> str | None:
    """Return the language of a link in the foot of the page."""
    if not request.query_string:
        return None
    chosen = dict(parse_qsl(request.query_string.decode("latin-1"))).get("lang")
    return chosen if chosen in STRINGS else None
