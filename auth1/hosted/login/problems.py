"""Error texts for the forms of pages."""

from auth1.errors import (
    ApiError,
    Conflict,
    CountryNotAllowed,
    HookDenied,
    InvalidCode,
    InvalidEmail,
    InvalidPhone,
    NoActiveChallenge,
    RateLimited,
    RecipientOptedOut,
    RequestBlocked,
    ResendTooSoon,
    TooManyAttempts,
)
from auth1.hosted.views import text
from auth1.hosted.visits import Visit
from auth1.identifiers import Channel
from auth1.templates.login_pages import duration

_TEXTS: dict[type[ApiError], str] = {
    Conflict: "taken",
    CountryNotAllowed: "country",
    HookDenied: "denied",
    InvalidCode: "wrong",
    NoActiveChallenge: "ended",
    RateLimited: "limited",
    RecipientOptedOut: "opted_out",
    RequestBlocked: "blocked",
    ResendTooSoon: "too_soon",
    TooManyAttempts: "locked",
}
_INVALID: dict[Channel | None, str] = {None: "invalid", "sms": "invalid_phone", "email": "invalid_email"}


def problem_of(visit: Visit, error: ApiError, channel: Channel | None = None) -> str:
    """Return a sentence about an error. `channel` is the only one that the field accepts."""
    if isinstance(error, InvalidPhone | InvalidEmail):
        return text(visit, _INVALID[channel])
    name = _TEXTS.get(type(error), "unsent")
    return text(visit, name, time=duration(error.retry_after or 0))
