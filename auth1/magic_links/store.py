"""SQL of links, by name."""

from typing import Literal, NamedTuple, cast

from auth1.core.postgres import ConnectionLost, Postgres, Queries
from auth1.pages.headers import origin_of
from auth1.sessions.create import NewSession
from auth1.templates.schemas import Branding
from auth1.tenants.settings import TenantSettings, read_settings

_QUERIES = Queries("links")


class Link(NamedTuple):
    """A link: its tenant, the language of its message, and where it leads. Only an open link can be confirmed."""

    name: str
    settings: TenantSettings
    locale: str | None
    redirect_to: str | None
    is_open: bool = True

    @property
    def branding(self) -> Branding:
        return self.settings.branding(self.name)

    @property
    def home(self) -> str | None:
        """Return the address of the application: where the link leads, or the only origin of the redirect URIs."""
        uris = self.settings.redirect_uris if self.redirect_to is None else (self.redirect_to,)
        origins = {origin_of(uri) for uri in uris}
        return f"{origins.pop()}/" if len(origins) == 1 else None


class Confirmed(NamedTuple):
    """A link that has just been confirmed."""

    link: Link
    tenant_id: str
    challenge_id: str


class Proof(NamedTuple):
    """What a redemption is proven by: authorization code and code challenge, or challenge and secret."""

    grant_digest: bytes | None = None
    code_challenge: str | None = None
    challenge_id: str | None = None
    secret_digest: bytes | None = None


class Redeeming(NamedTuple):
    """How `redeem_link` is asked."""

    by: Proof
    user_id: str
    session: NewSession
    event_id: str
    user_event_id: str


class Redeemed(NamedTuple):
    """What `redeem_link` decided."""

    verdict: Literal["ok", "banned", "pending", "none"]
    challenge_id: str | None
    identifier: str | None
    user_id: str | None
    is_new_user: bool


async def find_link(postgres: Postgres, token_digest: bytes) -> Link | None:
    """Find a link, open or not, of an active tenant."""
    row = await postgres.row(_QUERIES["find_link"], token_digest)
    if row is None:
        return None
    return Link(row["name"], read_settings(row["settings"]), row["locale"], row["redirect_to"], row["is_open"])


async def confirm_link(
    postgres: Postgres, token_digest: bytes, grant_digest: bytes, event_id: str, actor: str
) -> Confirmed | None:
    """Confirm a link, once; None when it is not open. A lost connection is tried again: grant_digest makes it safe."""
    arguments = (token_digest, grant_digest, event_id, actor)
    try:
        row = await postgres.row(_QUERIES["confirm_link"], *arguments)
    except ConnectionLost:
        row = await postgres.row(_QUERIES["confirm_link"], *arguments)
    if row is None or row["name"] is None:
        return None
    link = Link(row["name"], read_settings(row["settings"]), row["locale"], row["redirect_to"])
    return Confirmed(link, row["tenant_id"], row["challenge_id"])


async def redeem_link(postgres: Postgres, tenant_id: str, actor: str, asked: Redeeming) -> Redeemed:
    """Open the session of a confirmed link, once. After a lost connection, look first whether that was done."""
    arguments = (tenant_id, *asked.by, asked.user_id, *asked.session, asked.event_id, asked.user_event_id, actor)
    try:
        row = await postgres.row(_QUERIES["redeem_link"], *arguments)
    except ConnectionLost:
        row = await postgres.row(_QUERIES["find_redemption"], tenant_id, asked.event_id)
        row = row or await postgres.row(_QUERIES["redeem_link"], *arguments)
    assert row is not None, "the statement returns its row whatever it decides"
    return Redeemed(cast(Literal["ok", "banned", "pending", "none"], row["verdict"]), *list(row)[1:])
