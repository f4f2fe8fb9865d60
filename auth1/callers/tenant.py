"""A tenant as a request sees it: who it is, what it has decided, and by which key it called."""

from typing import Annotated

import msgspec

from auth1.callers.keys import Kind

_Country = Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{2}$", description="ISO 3166-1 alpha-2")]
_Countries = Annotated[tuple[_Country, ...], msgspec.Meta(max_length=250)]
# What stands at the head of an SMS: printable, and nothing that a phone would turn into a link.
_Branding = Annotated[
    str, msgspec.Meta(min_length=1, max_length=30, pattern=r"^(?!.*(?:\w\.\w{2}|[/\\@:<>]))[^\x00-\x1f\x7f-\x9f]+$")
]


class TenantSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True, omit_defaults=False):
    """What a tenant may decide, with its bounds. Unknown settings are refused."""

    otp_length: Annotated[int, msgspec.Meta(ge=4, le=10, description="Digits of a code.")] = 6
    otp_expiry_minutes: Annotated[int, msgspec.Meta(ge=1, le=10, description="Life of a code.")] = 10
    max_otp_attempts: Annotated[int, msgspec.Meta(ge=1, le=10, description="Attempts on a code.")] = 5
    rate_limit_per_hour: Annotated[
        int, msgspec.Meta(ge=1, le=100, description="Codes sent to one identifier an hour; twice that a day.")
    ] = 5
    requests_per_minute: Annotated[
        int, msgspec.Meta(ge=1, le=1_000_000, description="Codes asked for by all users of the tenant a minute.")
    ] = 6000
    voip_blocking: Annotated[bool, msgspec.Meta(description="Refuse numbers known to be VoIP and the like.")] = True
    allowed_countries: Annotated[_Countries | None, msgspec.Meta(description="Where codes may go; null: anywhere.")] = (
        None
    )
    require_challenge_id: Annotated[
        bool, msgspec.Meta(description="Verify only with the challenge_id that /request answered.")
    ] = False
    sms_branding: Annotated[
        _Branding | None, msgspec.Meta(description="Name at the head of an SMS; null: the tenant's name.")
    ] = None


class Tenant(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant, called by one of its keys. For a test key `id` is the sandbox's: `<tenant_id>:test`."""

    id: str
    name: str
    settings: TenantSettings
    jwt_version: int
    suspended: bool
    key_id: str
    key_kind: Kind
    allowed_origins: tuple[str, ...]
    key_expires_at: float | None  # seconds since 1970

    @property
    def sandbox(self) -> bool:
        return self.key_kind == "test"

    @property
    def brand(self) -> str:
        return self.settings.sms_branding or self.name


class Operator(msgspec.Struct, frozen=True):
    """Whoever holds ADMIN_TOKEN."""
