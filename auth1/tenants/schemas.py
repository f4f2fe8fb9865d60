"""Request and response bodies of tenants and keys."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

from auth1.api_keys import Kind
from auth1.core.schemas import ONE_LINE, GraceIn, In, Out
from auth1.core.timestamps import Timestamp
from auth1.templates.schemas import EmailText, Locale, Purpose, TextChannel
from auth1.templates.segments import Encoding
from auth1.tenants.settings import TenantSettings

Name = Annotated[
    str,
    msgspec.Meta(
        min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f-\x9f]+\Z", extra=ONE_LINE, examples=["My App"]
    ),
]
Slug = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?\Z",
        extra={"message": "Must be 1 to 40 lower-case letters, digits and inner hyphens, such as my-app."},
        examples=["myapp"],
    ),
]
# As browsers write it (RFC 6454, 6.2): in lower case, without a path, and without the default port of its scheme. Apps
# in a WebView have an origin with a scheme of their own, such as capacitor://localhost.
Origin = Annotated[
    str,
    msgspec.Meta(
        max_length=255,
        pattern=r"^(?:https://(?!.*:443\Z)|http://(?!.*:80\Z)"
        r"|(?!(?:https?|wss?|ftp|file|data|blob|about|javascript|vbscript|intent)://)[a-z][a-z0-9+.-]*://)"
        r"(?:[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::[1-9][0-9]{0,4})?\Z",
        extra={"message": "Must be an origin such as https://app.example.com, without a path."},
        examples=["https://app.example.com"],
    ),
]

Origins = Annotated[tuple[Origin, ...], msgspec.Meta(max_length=100)]


class TenantIn(In):
    """A new tenant. The slug is part of its keys and does not change."""

    name: Name
    slug: Slug
    settings: TenantSettings = TenantSettings()


SettingsPatch = dict[str, Any]  # some settings; which there are, and their bounds, is checked when they are merged


class TenantPatch(In):
    """Changes to a tenant. A setting of null returns to its default."""

    name: Name | msgspec.UnsetType = msgspec.UNSET
    settings: SettingsPatch | msgspec.UnsetType = msgspec.UNSET


class TenantOut(Out):
    """A tenant."""

    tenant_id: str
    name: str
    slug: str
    settings: TenantSettings
    created_at: datetime
    suspended_at: datetime | None


class TenantCreated(Out):
    """A new tenant and its secrets, which are shown this once."""

    tenant_id: str
    api_key: str
    secret_key: str
    test_key: str
    jwt_secret: str
    name: str
    slug: str
    settings: TenantSettings
    created_at: datetime


class TenantPage(Out):
    """A page of tenants, oldest first; `next_cursor` is for the next page."""

    data: list[TenantOut]
    next_cursor: str | None


class TextPreviewIn(In):
    """A text to preview: the stored text for a language, or a template that is not stored yet.

    The template of an SMS is a text; the template of an email is an object of texts.
    """

    channel: TextChannel = "sms"
    locale: Locale | None = None
    mode: Literal["code", "link", "both"] = "code"  # a link only by email
    purpose: Purpose = "login"  # `add`: a code that adds this phone or email to an account
    template: str | EmailText | None = None


class TextPreview(Out):
    """The message as it would be sent, with a sample code. `locale` is the language that was found.

    An SMS has its encoding, length and segments; an email has its subject and HTML.
    """

    text: str
    locale: str
    encoding: Encoding | msgspec.UnsetType = msgspec.UNSET
    units: int | msgspec.UnsetType = msgspec.UNSET
    segments: int | msgspec.UnsetType = msgspec.UNSET
    subject: str | msgspec.UnsetType = msgspec.UNSET
    html: str | msgspec.UnsetType = msgspec.UNSET


class LogoOut(Out):
    """The logo of a tenant. Its address changes with its content."""

    url: Annotated[str, msgspec.Meta(examples=["https://auth.example.com/logos/8d1c4b0b6f7a4e55a1f0c2d93e7b6a10.png"])]


class KeyIn(In):
    """A new key. `allowed_origins` are exact (`https://app.example.com`); none means any."""

    kind: Kind
    allowed_origins: Origins = ()
    expires_at: Timestamp | None = None


class KeyPatch(In):
    """Changes to a key. `expires_at` of null removes the expiry."""

    allowed_origins: Origins | msgspec.UnsetType = msgspec.UNSET
    expires_at: Timestamp | msgspec.UnsetType | None = msgspec.UNSET


class KeyRotation(In):
    """Replace a key. The old one stays valid for `grace_in` seconds more."""

    grace_in: GraceIn = 24 * 3600


class JwtRotation(In):
    """Replace the tenant's `jwt_secret`. Tokens that were signed with it stay valid for `grace_in` seconds more.

    Tokens are valid for an hour at most.
    """

    grace_in: GraceIn = 3600


class JwtSecret(Out):
    """A secret, and the `kid` of the tokens that are signed with it."""

    jwt_secret: str
    kid: str


class JwtSecrets(JwtSecret):
    """The secret that signs tokens now, and `others` that verify tokens.

    Those are the one before a rotation, and those of the operator's other JWT_SECRET while that is being changed.
    """

    others: list[JwtSecret]


class KeyOut(Out):
    """A key as it can be shown later: `hint` is its beginning and its last four characters."""

    key_id: str
    kind: Kind
    hint: str
    allowed_origins: list[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class KeyCreated(KeyOut):
    """A key, shown this once."""

    api_key: str


class KeyPage(Out):
    """The keys of a tenant, oldest first."""

    data: list[KeyOut]
    next_cursor: str | None
