"""Bodies of the routes that manage applications."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

import msgspec

from auth1.applications.records import Application, ApplicationChanges, NewApplication
from auth1.core.schemas import ONE_LINE, GraceIn, In, Out
from auth1.signing.keys import Alg

Kind = Literal["machine"]
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
    msgspec.Meta(max_length=50, description="Scopes that its tokens may have.", examples=[["invoices:read"]]),
]
_Alg = Annotated[Alg, msgspec.Meta(description="Algorithm that signs its tokens.")]


class ApplicationIn(In):
    """An application. `machine` is a server that acts for itself, with the client credentials grant."""

    name: _Name
    kind: Kind
    scopes: _Scopes = msgspec.field(default_factory=list)
    id_token_alg: _Alg = DEFAULT_ALG

    def application(self) -> NewApplication:
        """Return the application to store."""
        return NewApplication(**msgspec.structs.asdict(self))


class ApplicationPatch(In):
    """The fields of an application to change. A disabled application gets no tokens, and its tokens are not active."""

    name: _Name | msgspec.UnsetType = msgspec.UNSET
    scopes: _Scopes | msgspec.UnsetType = msgspec.UNSET
    id_token_alg: _Alg | msgspec.UnsetType = msgspec.UNSET
    enabled: bool | msgspec.UnsetType = msgspec.UNSET

    def changes(self) -> ApplicationChanges:
        """Return the changes to store."""
        sent = msgspec.structs.asdict(self).items()
        return ApplicationChanges(**{name: value for name, value in sent if value is not msgspec.UNSET})


class ApplicationOut(Out):
    """A registered OAuth client. Until `previous_secret_until` it has two secrets."""

    client_id: str
    name: _Name
    kind: Kind
    scopes: _Scopes
    id_token_alg: _Alg
    enabled: bool
    previous_secret_until: datetime | None
    created_at: datetime

    @classmethod
    def of(cls, application: Application, **more: Any) -> Self:
        """Return the body that shows a stored application."""
        fields = (name for name in cls.__struct_fields__ if name not in more)
        return cls(**{name: getattr(application, name) for name in fields}, **more)


class ApplicationCreated(ApplicationOut):
    """A new application with its secret, which is shown only now."""

    client_secret: str


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
