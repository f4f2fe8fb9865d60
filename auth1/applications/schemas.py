"""Bodies of the routes that manage applications."""

from datetime import datetime
from typing import Annotated, Any, Self

import msgspec

from auth1.applications.kinds import Kind
from auth1.applications.records import Application, ApplicationChanges, NewApplication
from auth1.applications.redirect_uris import MAX_CHARACTERS, MAX_URIS
from auth1.core.schemas import ONE_LINE, GraceIn, In, Out
from auth1.signing.keys import Alg

DEFAULT_ALG: Alg = "RS256"  # every library verifies it

_Name = Annotated[
    str,
    msgspec.Meta(
        min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f-\x9f]+\Z", extra=ONE_LINE, examples=["Billing service"]
    ),
]
# The characters of RFC 6749, 3.3, except quotation marks and backslashes, which no scope needs.
_Scope = Annotated[
    str,
    msgspec.Meta(
        max_length=100,
        pattern=r"^[A-Za-z0-9_.:/-]+\Z",
        extra={"message": "Must contain only letters, digits and the characters _ . : / -, at least one."},
    ),
]
_Scopes = Annotated[
    list[_Scope],
    msgspec.Meta(
        max_length=50,
        description="Scopes of your APIs that its tokens may have. An application that users log in to may also have "
        "openid, profile, email, phone and offline_access.",
        examples=[["invoices:read"]],
    ),
]
_Alg = Annotated[Alg, msgspec.Meta(description="Algorithm that signs its tokens.")]
_Kind = Annotated[
    Kind,
    msgspec.Meta(
        examples=["web"],
        description="web: on a server, with a secret. spa: in a browser. native: on a device. machine: a server that "
        "acts for itself, without users.",
    ),
]
_Uri = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_CHARACTERS)]
_RedirectUris = Annotated[
    list[_Uri],
    msgspec.Meta(
        max_length=MAX_URIS,
        description="Where users return after a login, compared exactly. Required for all kinds but machine.",
        examples=[["https://app.example.com/callback"]],
    ),
]
_LogoutUris = Annotated[
    list[_Uri],
    msgspec.Meta(
        max_length=MAX_URIS,
        description="Where users may return after a logout, compared exactly.",
        examples=[["https://app.example.com/"]],
    ),
]
_BackchannelUri = Annotated[
    str,
    msgspec.Meta(
        max_length=MAX_CHARACTERS,
        description="URL of an application of kind web that Auth1 calls when a session ends (Back-Channel Logout 1.0).",
        examples=["https://app.example.com/backchannel-logout"],
    ),
]
_FirstParty = Annotated[bool, msgspec.Meta(description="It is your own: users see no consent page.")]
_RequirePkce = Annotated[
    bool, msgspec.Meta(description="Logins must use PKCE. Only an application of kind web may do without.")
]


class ApplicationIn(In):
    """An application that users log in to, or one of kind machine, which acts for itself."""

    name: _Name
    kind: _Kind
    scopes: _Scopes = msgspec.field(default_factory=list)
    id_token_alg: _Alg = DEFAULT_ALG
    redirect_uris: _RedirectUris = msgspec.field(default_factory=list)
    logout_uris: _LogoutUris = msgspec.field(default_factory=list)
    backchannel_logout_uri: _BackchannelUri | None = None
    first_party: _FirstParty = False
    require_pkce: _RequirePkce = True

    def application(self) -> NewApplication:
        """Return the application to store."""
        return NewApplication(**msgspec.structs.asdict(self))


class ApplicationPatch(In):
    """The fields of an application to change. A disabled application gets no tokens, and its tokens are not active."""

    name: _Name | msgspec.UnsetType = msgspec.UNSET
    scopes: _Scopes | msgspec.UnsetType = msgspec.UNSET
    id_token_alg: _Alg | msgspec.UnsetType = msgspec.UNSET
    redirect_uris: _RedirectUris | msgspec.UnsetType = msgspec.UNSET
    logout_uris: _LogoutUris | msgspec.UnsetType = msgspec.UNSET
    backchannel_logout_uri: _BackchannelUri | msgspec.UnsetType | None = msgspec.UNSET
    first_party: _FirstParty | msgspec.UnsetType = msgspec.UNSET
    require_pkce: _RequirePkce | msgspec.UnsetType = msgspec.UNSET
    enabled: bool | msgspec.UnsetType = msgspec.UNSET

    def changes(self) -> ApplicationChanges:
        """Return the changes to store."""
        sent = msgspec.structs.asdict(self)
        if self.backchannel_logout_uri is None:
            sent["backchannel_logout_uri"] = ""
        return ApplicationChanges(**{name: value for name, value in sent.items() if value is not msgspec.UNSET})


class ApplicationOut(Out):
    """A registered OAuth client. Until `previous_secret_until` it has two secrets."""

    client_id: str
    name: _Name
    kind: _Kind
    scopes: _Scopes
    id_token_alg: _Alg
    redirect_uris: _RedirectUris
    logout_uris: _LogoutUris
    backchannel_logout_uri: _BackchannelUri | None
    first_party: _FirstParty
    require_pkce: _RequirePkce
    enabled: bool
    previous_secret_until: datetime | None
    created_at: datetime

    @classmethod
    def of(cls, application: Application, **more: Any) -> Self:
        """Return the body that shows a stored application."""
        fields = (name for name in cls.__struct_fields__ if name not in more)
        return cls(**{name: getattr(application, name) for name in fields}, **more)


class ApplicationCreated(ApplicationOut):
    """A new application. A secret of kinds web and machine is shown only now; spa and native have none."""

    client_secret: str | msgspec.UnsetType = msgspec.UNSET


class ApplicationPage(Out):
    """A page of a tenant's applications, oldest first; `next_cursor` is the start of the next page."""

    data: list[ApplicationOut]
    next_cursor: str | None


class ClientSecretRotation(In):
    """The overlap: how many seconds the old secret is accepted beside the new one."""

    grace_in: GraceIn = 24 * 3600


class ClientSecret(Out):
    """The new secret of an application, which is shown only now."""

    client_id: str
    client_secret: str
    previous_secret_until: datetime | None


class ConsentOut(Out):
    """An application with access to an account. `last_used_at` is its last login or refresh; null: it has ended."""

    client_id: str
    name: _Name
    scopes: list[str]
    granted_at: datetime
    last_used_at: datetime | None


class ConsentPage(Out):
    """A page of the applications that have access to an account, by id; `next_cursor` is the start of the next page."""

    data: list[ConsentOut]
    next_cursor: str | None
