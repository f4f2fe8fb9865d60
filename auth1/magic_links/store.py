"""SQL of links, by name."""

from typing import Literal, NamedTuple, cast

from auth1.core.postgres import ConnectionLost, Postgres, Queries
from auth1.pages.headers import origin_of
from auth1.sessions.create import NewSession
from auth1.templates.schemas import Branding
from auth1.tenants.settings import TenantSettings, read_settings

_QUERIES = Queries("links")


class OpenLink(NamedTuple):
    """A link that may be confirmed: of whom it is, in which language it was asked for, and where it leads."""

    name: str
    settings: TenantSettings
    locale: str | None
    redirect_to: str | None

    @property
    def branding(self) -> Branding:
        return self.settings.branding(self.name)

    @property
    def home(self) -> str | None:
        """Return the address of the application: the only origin of the tenant's redirect URIs, if there is one."""
        origins = {origin_of(uri) for uri in self.settings.redirect_uris}
        return f"{origins.pop()}/" if len(origins) == 1 else None


class Confirmed(NamedTuple):
    """A link that has just been confirmed."""

    link: OpenLink
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


async def find_link(postgres: Postgres, token_digest: bytes) -> OpenLink | None:
    """Find a link that is open; changes nothing."""
    row = await postgres.row(_QUERIES["find_link"], token_digest)
    return OpenLink(row["name"], read_settings(row["settings"]), row["locale"], row["redirect_to"]) if row else None


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
    link = OpenLink(row["name"], read_settings(row["settings"]), row["locale"], row["redirect_to"])
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
