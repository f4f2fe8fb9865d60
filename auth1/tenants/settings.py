"""A tenant as a request sees it: its settings, and the API key of the request."""

from typing import Annotated, Literal

import msgspec

from auth1.api_keys import Kind
from auth1.core.schemas import HostName, read_stored
from auth1.events.log import EventContext
from auth1.fraud.policy import DEFAULT_POLICY, FraudPolicy, in_shadow
from auth1.hooks.config import NO_HOOKS, Hooks
from auth1.templates.schemas import Branding, Color, Locale, LoginPage, Texts

_Country = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[A-Z]{2}\Z",
        description="ISO 3166-1 alpha-2",
        extra={"message": "Must be an ISO 3166-1 alpha-2 country code, such as US."},
    ),
]
_RequiredIdentifiers = Annotated[tuple[Literal["phone", "email"], ...], msgspec.Meta(max_length=2)]
_Countries = Annotated[tuple[_Country, ...], msgspec.Meta(max_length=250)]
# The name at the start of an SMS: printable, and nothing that a phone turns into a link.
_Branding = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=30,
        pattern=r"^(?!.*(?:\w\.\w{2}|[/\\@:<>]))[^\x00-\x1f\x7f-\x9f]+\Z",
        extra={"message": "Must be one line of text without web addresses, slashes, colons, @, < or >."},
    ),
]

# Absolute, without user or fragment (RFC 3986): https, http on this machine, or the private scheme of an app (RFC 8252,
# 7.1), such as myapp://callback or com.example.app:/callback. Schemes that run or read something are rejected.
_RedirectUri = Annotated[
    str,
    msgspec.Meta(
        max_length=2000,
        pattern=r"^(?:(?:https://[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|http://(?:localhost|127\.0\.0\.1))(?::[0-9]{1,5})?"
        r"(?:[/?][A-Za-z0-9._~:/?\[\]@!$&'()*+,;=%-]*)?"
        r"|(?!(?:https?|wss?|ftp|file|data|blob|about|javascript|vbscript|intent|mailto|tel|sms|view-source):)"
        r"[a-z][a-z0-9+.-]*:(?://[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?:[/?][A-Za-z0-9._~:/?\[\]@!$&'()*+,;=%-]*)?"
        r"|/(?!/)[A-Za-z0-9._~:/?\[\]@!$&'()*+,;=%-]*))\Z",
        extra={
            "message": "Must be an https URL such as https://app.example.com/signed-in, or one with your app's scheme."
        },
    ),
]
_RedirectUris = Annotated[tuple[_RedirectUri, ...], msgspec.Meta(max_length=50)]
OPERATOR = "operator"  # the actor of requests with ADMIN_TOKEN and of the command line
_Messages = Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)]
_Days = Annotated[int, msgspec.Meta(ge=1, le=3660)]
_Dollars = Annotated[float, msgspec.Meta(ge=0, le=1_000_000_000)]

# SMS sender IDs. Twilio: a messaging service, a number, or a name; SNS: a number, or a name of letters and digits.
_TwilioSender = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(?:MG[0-9a-fA-F]{32}|\+[1-9][0-9]{6,14}"
        r"|(?=.*[A-Za-z])[A-Za-z0-9](?:[A-Za-z0-9 &_+-]{0,9}[A-Za-z0-9])?)\Z",
        extra={
            "message": "Must be a Messaging Service SID, a phone number such as +15551234567, or a name of at most 11"
            " letters and digits."
        },
    ),
]
_SnsSender = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(?:\+[1-9][0-9]{6,14}|(?=.*[A-Za-z])[A-Za-z0-9]{1,11})\Z",
        extra={"message": "Must be a phone number such as +15551234567, or a name of at most 11 letters and digits."},
    ),
]
# An addr-spec in ASCII without quoting (RFC 5322, 3.4.1).
_EmailAddress = Annotated[
    str,
    msgspec.Meta(
        max_length=254,
        pattern=r"^[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}\Z",
        extra={"message": "Must be an email address, such as no-reply@example.com."},
    ),
]
_LogoDigest = Annotated[
    str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z", extra={"message": "Must be 32 lower-case hexadecimal digits."})
]
_Place = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(?:[A-Z]{2}|\*)\Z",
        description="ISO 3166-1 alpha-2, or * for the rest",
        extra={"message": "Must be an ISO 3166-1 alpha-2 country code, such as US, or an asterisk for all others."},
    ),
]


class Senders(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """SMS sender IDs by provider; null: the operator's environment sets it."""

    twilio: _TwilioSender | None = None
    sns: _SnsSender | None = None


class TenantSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True, omit_defaults=False):
    """The settings of a tenant and their bounds. Unknown settings are rejected."""

    otp_length: Annotated[int, msgspec.Meta(ge=4, le=10, description="Number of digits in a code.", examples=[6])] = 6
    otp_expiry_minutes: Annotated[
        int, msgspec.Meta(ge=1, le=10, description="Minutes until a code expires.", examples=[10])
    ] = 10
    max_otp_attempts: Annotated[
        int, msgspec.Meta(ge=1, le=10, description="Attempts allowed for a code.", examples=[5])
    ] = 5
    rate_limit_per_hour: Annotated[
        int,
        msgspec.Meta(ge=1, le=100, description="Codes sent to one identifier an hour; twice that a day.", examples=[5]),
    ] = 5
    requests_per_minute: Annotated[
        int, msgspec.Meta(ge=1, le=1_000_000, description="Codes requested by all users of the tenant a minute.")
    ] = 6000
    voip_blocking: Annotated[
        bool, msgspec.Meta(description="Reject phone numbers known to be VoIP, pagers or similar.", examples=[True])
    ] = True
    allowed_countries: Annotated[
        _Countries | None, msgspec.Meta(description="Countries that codes may be sent to; null: all.")
    ] = None
    sign_up: Annotated[
        Literal["open", "closed"],
        msgspec.Meta(description="Closed: only existing users log in; codes are sent to no other phone or email."),
    ] = "open"
    required_identifiers: Annotated[
        _RequiredIdentifiers,
        msgspec.Meta(description="Identifiers that the hosted login adds to a user without them."),
    ] = ()
    require_challenge_id: Annotated[
        bool, msgspec.Meta(description="Accept a code only together with its challenge_id.")
    ] = False
    sms_branding: Annotated[
        _Branding | None,
        msgspec.Meta(description="Sender's name at the start of an SMS; null: the tenant's name.", examples=["MyApp"]),
    ] = None
    token_expires_in: Annotated[
        int, msgspec.Meta(ge=60, le=3600, description="Seconds until a session token expires.")
    ] = 900
    session_idle_after: Annotated[
        int, msgspec.Meta(ge=300, le=31_536_000, description="Seconds without a refresh that end a session.")
    ] = 30 * 24 * 3600
    session_expires_in: Annotated[
        int,
        msgspec.Meta(ge=300, le=31_536_000, description="Seconds until a session ends, however often it is refreshed."),
    ] = 90 * 24 * 3600
    max_sessions_per_user: Annotated[
        Annotated[int, msgspec.Meta(ge=1, le=1000)] | None,
        msgspec.Meta(description="Sessions of a user; the oldest ends when a login exceeds it. null: any number."),
    ] = None
    messages_per_day: Annotated[
        _Messages | None, msgspec.Meta(description="SMS and emails a day (UTC); null: any number.")
    ] = None
    sms_budget_per_day: Annotated[
        _Dollars | None, msgspec.Meta(description="US dollars for SMS a day (UTC); null: any sum.")
    ] = None
    sms_budget_soft: Annotated[
        float,
        msgspec.Meta(
            ge=0, le=1, description="Part of sms_budget_per_day at which the event budget.reached is written."
        ),
    ] = 0.8
    default_locale: Annotated[Locale, msgspec.Meta(description="Language of messages where a request names none.")] = (
        "en"
    )
    texts: Annotated[Texts, msgspec.Meta(description="Templates with {brand}, {code} and {minutes}, by locale.")] = (
        Texts()
    )
    redirect_uris: Annotated[
        _RedirectUris, msgspec.Meta(description="URLs that a link in an email may lead to, compared exactly.")
    ] = ()
    brand_color: Annotated[
        Color | None, msgspec.Meta(description="Colour of the button in an email and behind its link.")
    ] = None
    login_page: Annotated[LoginPage, msgspec.Meta(description="Look and texts of the login's pages.")] = LoginPage()
    sms_autofill_host: Annotated[
        HostName | None, msgspec.Meta(description="Host where browsers fill in the code of an SMS; null: any.")
    ] = None
    retry_undelivered: Annotated[
        bool, msgspec.Meta(description="Send a message that was not delivered once more, by another provider.")
    ] = False
    retry_unreported_after: Annotated[
        Annotated[int, msgspec.Meta(ge=10, le=300)] | None,
        msgspec.Meta(description="Also retry when no delivery report arrives within this many seconds."),
    ] = None
    sms_senders: Annotated[
        Annotated[dict[_Place, Senders], msgspec.Meta(max_length=250)],
        msgspec.Meta(description="SMS sender ID by country."),
    ] = {}
    email_from: Annotated[
        _EmailAddress | None, msgspec.Meta(description="Sender address of emails; null: EMAIL_FROM.")
    ] = None
    events_retention_days: Annotated[
        _Days | None, msgspec.Meta(description="Days until events are deleted; null: EVENTS_RETENTION_MONTHS.")
    ] = None
    logo: Annotated[
        _LogoDigest | None, msgspec.Meta(description="Digest of the logo. Change it with PUT or DELETE …/logo.")
    ] = None

    def branding(self, tenant_name: str, base_url: str = "") -> Branding:
        """Return the branding of messages and pages; `sms_branding` replaces the tenant's name.

        The logo's address begins with `base_url`; without one it is a path on the same origin.
        """
        name = self.sms_branding or tenant_name
        logo_url = None if self.logo is None else base_url + logo_path(self.logo)
        host, texts = self.sms_autofill_host, self.texts
        return Branding(name, self.brand_color, self.default_locale, texts, host, logo_url, self.login_page)


# Only the operator changes these: the operator pays for messages and is responsible for their senders.
BUDGETS = frozenset({"messages_per_day", "sms_budget_per_day", "sms_budget_soft"})
OPERATOR_SETTINGS = BUDGETS | {"sms_senders", "email_from"}


def logo_path(digest: str) -> str:
    """Return the path of a logo."""
    return f"/logos/{digest}.png"


_DECODER = msgspec.json.Decoder(TenantSettings)


def read_settings(stored: str) -> TenantSettings:
    """Read settings as any version stored them; requests that write settings get an error instead."""
    return read_stored(_DECODER, stored)


class Tenant(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant, called by one of its keys. For a test key `id` is the sandbox's: `<tenant_id>:test`."""

    id: str
    name: str
    settings: TenantSettings
    jwt_version: int
    retired_versions: dict[int, float] = {}  # of the signing key; when each stops to verify, in seconds since 1970
    sessions_from: float = 0.0  # sessions that were opened before this moment are ended
    suspended: bool
    moved: bool = False  # to another database
    closed_until: float = 0.0  # in seconds since 1970: it is being moved
    key_id: str
    key_kind: Kind
    allowed_origins: tuple[str, ...]
    key_expires_at: float | None  # seconds since 1970
    policy: FraudPolicy = DEFAULT_POLICY  # its own, or the operator's
    shadow_policy: FraudPolicy = DEFAULT_POLICY  # the policy, rejecting nothing
    has_own_policy: bool = False
    captcha_secret: bytes | None = None  # of the policy, encrypted
    list_versions: tuple[int, int] = (0, 0)  # of its own allow and block lists, and of the operator's
    hooks: Hooks = NO_HOOKS  # the sandbox has none
    hosts: tuple[str, ...] = ()  # its verified ones
    canonical_host: str | None = None  # that of its issuer, pages and links
    sandbox: bool = False  # follows from the kind of the key

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "sandbox", self.key_kind == "test")
        msgspec.structs.force_setattr(self, "shadow_policy", in_shadow(self.policy))

    def base_url(self, app_url: str) -> str:
        """Return the start of the addresses that its users see: its canonical host, or else APP_URL."""
        return base_url(self.canonical_host, app_url)


def base_url(canonical_host: str | None, app_url: str) -> str:
    """Return the address of a canonical host, or else APP_URL."""
    return app_url if canonical_host is None else f"https://{canonical_host}"


class TenantAdmin(msgspec.Struct, frozen=True):
    """The caller that manages a tenant: its secret key, or the operator. `actor` is the key's id, or `operator`."""

    tenant_id: str
    actor: str
    request_id: str | None = None  # None at the command line
    network: str | None = None

    @property
    def context(self) -> EventContext:
        """The context of events that it causes."""
        return EventContext(self.actor, self.request_id, self.network)

    @property
    def is_operator(self) -> bool:
        return self.actor == OPERATOR


class Operator(msgspec.Struct, frozen=True):
    """The caller with ADMIN_TOKEN."""
