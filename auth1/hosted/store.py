"""The statements of hosted logins: find one, and move it to the next step."""

from functools import partial
from typing import Literal, NamedTuple

from auth1.core.postgres import Postgres, Queries, repeat_once
from auth1.identifiers import Channel, Identifier, stored_identifier
from auth1.oauth.requests import AuthorizationRequest, decode_request, encode_request

_QUERIES = Queries("hosted")

Step = Literal["start", "code", "waiting", "profile", "account", "consent", "done", "refused", "expired"]


class LoginKey(NamedTuple):
    """A login of a browser."""

    tenant_id: str
    login_id: str
    browser_digest: bytes


class Login(NamedTuple):
    """A login, of an application or of the account pages (`client_id` null); `resend_after` is in seconds.

    `client_name` is null where the application was deleted or disabled.
    """

    id: str
    client_id: str | None
    client_name: str | None
    request: str
    step: Step
    identifier: str | None
    channel: Channel | None
    challenge_id: str | None
    user_id: str | None
    session_id: str | None
    locale: str | None
    code_length: int | None
    resend_after: int | None
    is_expired: bool
    is_redeemed: bool

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


class SentCode(NamedTuple):
    """A code that was sent. Without `challenge_id` it is one that was sent before."""

    identifier: Identifier
    challenge_id: str | None
    code_length: int
    resend_after: int


class Completion(NamedTuple):
    """The user and the session of a login, and its next step."""

    step: Step
    identifier: str | None
    channel: Channel
    user_id: str
    session_id: str
    amr: list[str]
    new_digest: bytes


class _RecordSent(NamedTuple):
    tenant_id: str
    login_id: str
    browser_digest: bytes
    identifier: str
    channel: Channel
    challenge_id: str | None
    code_length: int
    resend_after: int


class _StartAgain(NamedTuple):
    tenant_id: str
    login_id: str
    browser_digest: bytes
    channel: Channel | None


class _SetLocale(NamedTuple):
    tenant_id: str
    login_id: str
    browser_digest: bytes
    locale: str


class _CompleteLogin(NamedTuple):
    tenant_id: str
    login_id: str
    browser_digest: bytes
    step: Step
    identifier: str | None
    channel: Channel
    user_id: str
    session_id: str
    amr: list[str]
    new_digest: bytes


class _Committed(NamedTuple):
    tenant_id: str
    login_id: str
    new_digest: bytes


class _NewLogin(NamedTuple):
    tenant_id: str
    login_id: str
    browser_digest: bytes
    request: str


class _Moved(NamedTuple):
    id: str


_INSERT_LOGIN = _QUERIES.statement("insert_account_login", _NewLogin, _Moved)
_FIND_LOGIN = _QUERIES.statement("find_login", LoginKey, Login)
_RECORD_SENT = _QUERIES.statement("record_sent", _RecordSent, _Moved)
_START_AGAIN = _QUERIES.statement("start_again", _StartAgain, _Moved)
_SET_LOCALE = _QUERIES.statement("set_locale", _SetLocale, _Moved)
_COMPLETE_LOGIN = _QUERIES.statement("complete_login", _CompleteLogin, _Moved)
_FIND_COMPLETED = _QUERIES.statement("find_completed_login", _Committed, _Moved)
_FINISH_CONSENT = _QUERIES.statement("finish_consent", LoginKey, _Moved)
_REFUSE_LOGIN = _QUERIES.statement("refuse_login", LoginKey, _Moved)


async def insert_account_login(postgres: Postgres, key: LoginKey, request: AuthorizationRequest) -> None:
    """Insert a login for the account pages."""
    await postgres.row(_INSERT_LOGIN, _NewLogin(*key, encode_request(request)))


async def find_login(postgres: Postgres, key: LoginKey) -> Login | None:
    """Return a login of a browser; None for an unknown one, and for one of another browser."""
    return await postgres.row(_FIND_LOGIN, key)


async def record_sent(postgres: Postgres, key: LoginKey, sent: SentCode) -> bool:
    """Move to the step `code`. Return whether the login was in the step `start` or `code`."""
    identifier = sent.identifier
    row = _RecordSent(*key, identifier.value, identifier.channel, *sent[1:])
    return await postgres.row(_RECORD_SENT, row) is not None


async def start_again(postgres: Postgres, key: LoginKey, channel: Channel | None) -> None:
    """Move back to the step `start`, for another phone, email or account."""
    await postgres.row(_START_AGAIN, _StartAgain(*key, channel))


async def set_locale(postgres: Postgres, key: LoginKey, locale: str) -> None:
    """Keep the language that the user chose."""
    await postgres.row(_SET_LOCALE, _SetLocale(*key, locale))


async def complete_login(postgres: Postgres, key: LoginKey, completion: Completion) -> bool:
    """Keep user and session of a login. Return whether it was waiting for them.

    After a lost commit only the new cookie finds the login, so the browser must get it.
    """
    params = _CompleteLogin(**key._asdict(), **completion._asdict())
    committed = _Committed(key.tenant_id, key.login_id, completion.new_digest)
    moved = await repeat_once(
        partial(postgres.row, _COMPLETE_LOGIN, params), partial(postgres.row, _FIND_COMPLETED, committed)
    )
    return moved is not None


async def finish_consent(postgres: Postgres, key: LoginKey) -> None:
    """Move to the step `done` after the consent."""
    await postgres.row(_FINISH_CONSENT, key)


async def refuse_login(postgres: Postgres, key: LoginKey) -> None:
    """Move to the step `refused`."""
    await postgres.row(_REFUSE_LOGIN, key)
