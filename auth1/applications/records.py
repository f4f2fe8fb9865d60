"""Applications as the store reads and writes them."""

from datetime import datetime
from typing import NamedTuple

import msgspec

from auth1.applications.kinds import Kind
from auth1.signing.keys import Alg


class NewApplication(msgspec.Struct, frozen=True, kw_only=True):
    """A new application. Only kind `machine` has no redirect URI."""

    name: str
    kind: Kind
    scopes: list[str]
    id_token_alg: Alg
    redirect_uris: list[str] = []
    logout_uris: list[str] = []
    backchannel_logout_uri: str | None = None
    first_party: bool = False
    require_pkce: bool = True

    @property
    def has_secret(self) -> bool:
        """Return whether the application can keep a secret: it runs on a server."""
        return has_secret(self.kind)


class ApplicationChanges(msgspec.Struct, frozen=True, kw_only=True):
    """Changes of an application; None: unchanged. An empty `backchannel_logout_uri` removes it."""

    name: str | None = None
    scopes: list[str] | None = None
    id_token_alg: Alg | None = None
    redirect_uris: list[str] | None = None
    logout_uris: list[str] | None = None
    backchannel_logout_uri: str | None = None
    first_party: bool | None = None
    require_pkce: bool | None = None
    enabled: bool | None = None


class Application(NamedTuple):
    """A stored application, without its secrets."""

    client_id: str
    name: str
    kind: Kind
    scopes: list[str]
    id_token_alg: Alg
    redirect_uris: list[str]
    logout_uris: list[str]
    backchannel_logout_uri: str | None
    first_party: bool
    require_pkce: bool
    enabled: bool
    previous_secret_until: datetime | None
    created_at: datetime


def has_secret(kind: Kind) -> bool:
    """Return whether applications of a kind can keep a secret: they run on a server."""
    return kind in ("web", "machine")
