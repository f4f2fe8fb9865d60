"""The base class of errors, and the details that an error can have."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal, NamedTuple

import msgspec


class PowChallenge(msgspec.Struct, tag_field="kind", tag="pow"):
    """Proof of work to solve, in ALTCHA's first format: the number n with `challenge` = SHA-256 of `salt` and n.

    n is from 0 to `maxnumber`, in decimal digits. `expires_in` is in seconds.
    """

    algorithm: Literal["SHA-256"]
    challenge: str
    salt: str
    maxnumber: int
    signature: str
    expires_in: int


class CaptchaChallenge(msgspec.Struct, tag_field="kind", tag="captcha"):
    """A captcha to solve with the provider's own script."""

    provider: Literal["turnstile", "hcaptcha"]
    site_key: Annotated[str, msgspec.Meta(examples=["0x4AAAAAAAB1cDeFgHiJkLmN"])]


ProofChallenge = PowChallenge | CaptchaChallenge


class FieldError(NamedTuple):
    """An invalid field of the body or the query: its path (`settings.otp_length`) and a sentence."""

    field: str
    message: str


class ApiError(Exception):
    """A request that cannot be served."""

    status: ClassVar[int]
    code: ClassVar[str]
    challenge: ClassVar[str | None] = None  # the WWW-Authenticate header of a 401 (RFC 9110, 11.6.1)

    def __init__(
        self,
        detail: str | None = None,
        *,
        errors: Sequence[FieldError] = (),
        attempts_remaining: int | None = None,
        retry_after: int | None = None,
        proof: ProofChallenge | None = None,
        channels: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
        by_application: bool = False,
    ) -> None:
        """Add details to the class: `retry_after` in whole seconds, `headers` beside the standard ones.

        `proof` is what lets the request through, `channels` are others that the app may offer. `by_application`: an
        application made the invalid request, and its developer reads `detail` on the page.
        """
        self.detail = detail or inspect.cleandoc(type(self).__doc__ or "").partition("\n\n")[0]
        self.errors = errors
        self.attempts_remaining = attempts_remaining
        self.retry_after = retry_after
        self.proof = proof
        self.channels = channels
        self.headers = headers or {}
        self.by_application = by_application
        super().__init__(self.detail)


class OAuthApiError(ApiError):
    """An error of an OAuth endpoint; its code is one of OAuth's (RFC 6749, 5.2)."""
