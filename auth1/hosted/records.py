"""Hosted logins as the store reads and writes them."""

from typing import Literal, NamedTuple

from auth1.applications.redirect_uris import matches
from auth1.identifiers import Channel, Identifier, IdentifierType, stored_identifier
from auth1.oauth.authorization.codes import REUSE_S
from auth1.oauth.authorization.requests import AuthorizationRequest, decode_request

Step = Literal["start", "code", "waiting", "profile", "account", "consent", "done", "refused", "expired"]


class LoginKey(NamedTuple):
    """A login of a browser."""

    tenant_id: str
    login_id: str
    browser_digest: bytes


class Login(NamedTuple):
    """A login, of an application or of the account pages (`client_id` null); times are in seconds.

    `client_name` is null where the application was deleted or disabled. `message_state` is the delivery state of the
    message with the awaited code. `adding` is the type of an identifier to add, and `added` that identifier, once a
    code was sent. `link_box` is the sealed secret of a magic link. `redirect_uris` are those of the application at the
    step `done`.
    """

    tenant_id: str
    login_id: str
    browser_digest: bytes
    is_found: bool
    client_id: str | None
    client_name: str | None
    client_kind: str | None
    redirect_uris: list[str] | None
    request: str
    step: Step
    identifier: str | None
    channel: Channel | None
    challenge_id: str | None
    message_state: str | None
    user_id: str | None
    session_id: str | None
    locale: str | None
    adding: IdentifierType | None
    added: str | None
    link_box: bytes | None
    code_length: int | None
    resend_after: int | None
    is_expired: bool
    is_redeemed: bool
    code_number: int
    code_expires_in: float | None

    @property
    def is_over(self) -> bool:
        """Return whether it expired, or its application is not there any more."""
        return self.is_expired or (self.client_id is not None and self.client_name is None)

    @property
    def authorization(self) -> AuthorizationRequest:
        """Return the request of the application."""
        return decode_request(self.request)

    @property
    def recipient(self) -> Identifier | None:
        """Return the phone or email that was entered."""
        if self.identifier is None or self.channel is None:
            return None
        return stored_identifier("phone" if self.channel == "sms" else "email", self.identifier)

    @property
    def addition(self) -> Identifier | None:
        """Return the identifier that the user adds, once a code was sent."""
        if self.adding is None or self.added is None:
            return None
        return stored_identifier(self.adding, self.added)

    @property
    def has_code(self) -> bool:
        """Return whether its code is valid for long enough to return it, and the redirect URI is still registered."""
        return (
            self.step == "done"
            and self.user_id is not None
            and self.session_id is not None
            and not (self.is_expired or self.is_redeemed)
            and (self.code_expires_in or 0) > REUSE_S
            and matches(self.client_kind or "", self.redirect_uris or [], self.authorization.redirect_uri)
        )


class SentCode(NamedTuple):
    """A code that was sent. Without `challenge_id` it is one that was sent before. `link_box`: of a link instead."""

    identifier: Identifier
    challenge_id: str | None
    code_length: int
    resend_after: int
    link_box: bytes | None = None


class Addition(NamedTuple):
    """A login for the account pages that adds an identifier. Without a session the user logs in first."""

    adding: IdentifierType | None = None
    user_id: str | None = None
    session_id: str | None = None


NO_ADDITION = Addition()


class Completion(NamedTuple):
    """The user and the session of a login, and the digest of its new cookie. `adding`: what the user lacks."""

    new_digest: bytes
    identifier: str | None
    channel: Channel
    user_id: str
    session_id: str
    amr: list[str]
    adding: IdentifierType | None
