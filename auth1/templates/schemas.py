"""A tenant's branding and its own texts, as they are stored in its settings."""

from typing import Annotated, Literal, NamedTuple

import msgspec

TextChannel = Literal["sms", "email"]
Purpose = Literal["login", "add"]  # a code to sign in, or a code to add a phone or email to an account
Locale = Annotated[
    str,
    msgspec.Meta(
        max_length=35,
        pattern=r"^[A-Za-z]{2,8}(?:[-_][A-Za-z0-9]{1,8})*\Z",
        description="BCP 47: pt-BR",
        extra={"message": "Must be a language tag such as pt-BR."},
    ),
]
Color = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^#[0-9a-f]{6}\Z",
        description="#rrggbb",
        extra={"message": "Must be a colour in lower-case hexadecimal digits, such as #1a73e8."},
    ),
]
_WebUrl = Annotated[
    str,
    msgspec.Meta(
        max_length=2000,
        pattern=r"^https://[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::[0-9]{1,5})?(?:[/?][A-Za-z0-9._~:/?@!$&'()*+,;=%#-]*)?\Z",
        extra={"message": "Must be an https URL, such as https://example.com/terms."},
    ),
]
_Line = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=300,
        pattern=r"^[^\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]+\Z",
        extra={"message": "Must be one line of at most 300 characters."},
    ),
]
_Templates = Annotated[dict[str, str], msgspec.Meta(max_length=50)]

LocaleHint = Annotated[
    str, msgspec.Meta(description="The user's language, such as pt-BR. A value that cannot be used is ignored.")
]


class EmailText(msgspec.Struct, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    """A tenant's own words for emails in one language. A missing word is taken from the built-in strings."""

    subject: str | None = None  # may contain {code}; an email without a code then uses `button` instead
    link: str | None = None  # above the button
    button: str | None = None
    paste: str | None = None  # above the link as text
    code: str | None = None  # above the code
    expiry: str | None = None
    footer: str | None = None  # advice for a recipient who did not request the email
    add_subject: str | None = None  # as `subject`, for a code that adds this address to an account
    add_code: str | None = None  # as `code`, for a code that adds this address to an account


class Texts(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A tenant's own texts by channel and locale. Templates are checked when they are written."""

    sms: _Templates = {}
    sms_add: _Templates = {}  # for a code that adds this number to an account
    email: Annotated[dict[str, EmailText], msgspec.Meta(max_length=50)] = {}


class LoginText(msgspec.Struct, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    """A tenant's own words on the pages of the login in one language: plain text, without HTML."""

    title: Annotated[_Line | None, msgspec.Meta(description="The heading of the first page.")] = None
    footer: Annotated[_Line | None, msgspec.Meta(description="A sentence at the end of each page.")] = None


class LoginPage(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The look of the login pages, beside `logo` and `brand_color`."""

    methods: Annotated[
        tuple[Literal["phone", "email"], ...],
        msgspec.Meta(max_length=2, description="Accepted at login; none: both."),
    ] = ()
    dark_color: Annotated[Color | None, msgspec.Meta(description="Colour of the button in dark mode.")] = None
    background_color: Annotated[Color | None, msgspec.Meta(description="Around the page, in light mode.")] = None
    corner_radius: Annotated[int, msgspec.Meta(ge=0, le=24, description="Of buttons and fields, in pixels.")] = 8
    terms_url: Annotated[_WebUrl | None, msgspec.Meta(description="Terms of service.")] = None
    privacy_url: Annotated[_WebUrl | None, msgspec.Meta(description="Privacy policy.")] = None
    texts: Annotated[dict[str, LoginText], msgspec.Meta(max_length=50)] = {}


class Branding(NamedTuple):
    """The name, look and texts of a tenant in its messages and pages."""

    name: str
    color: str | None = None  # of buttons, #rrggbb
    default_locale: str = "en"
    texts: Texts = Texts()
    autofill_host: str | None = None  # the only host where browsers offer the code of an SMS
    logo_url: str | None = None  # absolute in emails; a path on pages
    login_page: LoginPage = LoginPage()
