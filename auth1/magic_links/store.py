"""The statements of links: find, confirm, redeem."""

from datetime import datetime
from typing import Literal, NamedTuple, cast

from auth1.challenges.statements import EventKey
from auth1.core.postgres import Postgres, Queries, function, repeat_once
from auth1.events.log import EventContext, RecordedEvent, read_events
from auth1.hooks.config import Pause
from auth1.pages.headers import origin_of
from auth1.sessions.create import NewSession
from auth1.templates.schemas import Branding
from auth1.tenants.settings import TenantSettings, read_settings

_QUERIES = Queries("links")


class Link(NamedTuple):
    """A link: its tenant, the language of its message, its destination, and the origin of its request.

    Only an open link can be confirmed.
    """

    name: str
    settings: TenantSettings
    locale: str | None
    redirect_to: str | None
    user_agent: str | None = None
    network: str | None = None
    is_open: bool = True
    tenant_id: str = ""

    @property
    def branding(self) -> Branding:
        return self.settings.branding(self.name)

    @property
    def home(self) -> str | None:
        """Return the address of the application: where the link leads, or the only origin of the redirect URIs."""
        uris = self.settings.redirect_uris if self.redirect_to is None else (self.redirect_to,)
        origins = {origin_of(uri) for uri in uris if uri.startswith("http")}
        return f"{origins.pop()}/" if len(origins) == 1 else None


class ConfirmLink(NamedTuple):
    """A confirmation. `deadline` is set by `Postgres.before_deadline`."""

    token_digest: bytes
    grant_digest: bytes
    event_id: str
    actor: str
    request_id: str | None
    network: str | None
    deadline: datetime | None = None


class Confirmed(NamedTuple):
    """A link that has just been confirmed."""

    link: Link
    tenant_id: str
    challenge_id: str
    events: list[RecordedEvent]


class Proof(NamedTuple):
    """The proof of a redemption: authorization code and code challenge, or challenge and secret."""

    grant_digest: bytes | None = None
    code_challenge: str | None = None
    challenge_id: str | None = None
    secret_digest: bytes | None = None


class RedeemLink(NamedTuple):
    """A redemption. `user_id` is that of a new user; the last two fields are those of `SubmitCode`."""

    tenant_id: str
    context: EventContext
    proof: Proof
    user_id: str
    session: NewSession
    event_id: str
    user_event_id: str
    pause_before: Pause | None = None
    allowed_user_id: str | None = None


class Redeemed(NamedTuple):
    """The result of a redemption."""

    verdict: Literal["ok", "new", "known", "banned", "pending", "none"]
    challenge_id: str | None
    identifier: str | None
    user_id: str | None
    is_new_user: bool
    events: list[RecordedEvent]


class _TokenDigest(NamedTuple):
    token_digest: bytes


class _LinkRow(NamedTuple):
    tenant_id: str
    name: str
    settings: str
    locale: str | None
    redirect_to: str | None
    user_agent: str | None
    network: str | None
    is_open: bool


class _ConfirmedRow(NamedTuple):
    name: str
    settings: str
    locale: str | None
    redirect_to: str | None
    tenant_id: str
    challenge_id: str
    events: str | None


class _RedeemRow(NamedTuple):
    tenant_id: str
    grant_digest: bytes | None
    code_challenge: str | None
    challenge_id: str | None
    secret_digest: bytes | None
    new_user_id: str
    session_id: str
    session_expires_in: int
    session_idle_after: int
    device_name: str | None
    user_agent: str | None
    network: str | None
    event_id: str
    user_event_id: str
    actor: str
    request_id: str | None
    pause_before: str | None = None
    allowed_user_id: str | None = None
    deadline: datetime | None = None  # set by Postgres.call


class _RedeemResult(NamedTuple):
    verdict: str
    challenge_id: str | None
    identifier: str | None
    user_id: str | None
    is_new_user: bool
    events: str | None


_FIND_LINK = _QUERIES.statement("find_link", _TokenDigest, _LinkRow)
_CONFIRM_LINK = _QUERIES.statement("confirm_link", ConfirmLink, _ConfirmedRow)
_FIND_REDEMPTION = _QUERIES.statement("find_redemption", EventKey, _RedeemResult)
_REDEEM_LINK = function("redeem_link", _RedeemRow, _RedeemResult)


async def find_link(postgres: Postgres, token_digest: bytes) -> Link | None:
    """Find a link, open or not, of an active tenant."""
    row = await postgres.row(_FIND_LINK, _TokenDigest(token_digest))
    if row is None:
        return None
    return Link(**row._asdict() | {"settings": read_settings(row.settings)})


async def confirm_link(postgres: Postgres, request: ConfirmLink) -> Confirmed | None:
    """Confirm a link, once; None when it is not open.

    A lost connection is retried: the digest of the grant makes that safe. The first run may be committed while the
    retry waits for the identifier, so a retry that finds no open link looks once more.
    """

    async def run() -> _ConfirmedRow | None:
        return await postgres.row(_CONFIRM_LINK, postgres.before_deadline(request))

    row = await repeat_once(run, run)
    if row is None:
        return None
    link = Link(row.name, read_settings(row.settings), row.locale, row.redirect_to)
    return Confirmed(link, row.tenant_id, row.challenge_id, read_events(row.events))


async def redeem_link(postgres: Postgres, request: RedeemLink) -> Redeemed:
    """Open the session of a confirmed link, once. After a lost connection, look first whether that was done."""
    row = _RedeemRow(
        tenant_id=request.tenant_id,
        **request.proof._asdict(),
        new_user_id=request.user_id,
        **request.session._asdict(),
        event_id=request.event_id,
        user_event_id=request.user_event_id,
        **request.context._asdict(),
        pause_before=request.pause_before,
        allowed_user_id=request.allowed_user_id,
    )

    async def run() -> _RedeemResult:
        [result] = await postgres.call(_REDEEM_LINK, row)
        return result

    async def find() -> _RedeemResult | None:
        return await postgres.row(_FIND_REDEMPTION, EventKey(row.tenant_id, row.event_id, row.user_event_id))

    result = await repeat_once(run, find)
    verdict = cast(Literal["ok", "new", "known", "banned", "pending", "none"], result.verdict)
    return Redeemed(verdict, *result[1:-1], read_events(result.events))
