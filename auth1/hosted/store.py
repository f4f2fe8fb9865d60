"""The statements of hosted logins: find one, and move it to the next step."""

from functools import partial
from typing import Literal, NamedTuple

from auth1.core.postgres import Postgres, Queries, repeat_once
from auth1.identifiers import Channel, Identifier, IdentifierType, stored_identifier
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

    `client_name` is null where the application was deleted or disabled. `adding` is the type of an identifier to add,
    and `added` that identifier, once a code was sent. `link_box` is the sealed secret of a magic link.
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
    adding: IdentifierType | None
    added: str | None
    link_box: bytes | None
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

    @property
    def addition(self) -> Identifier | None:
        """Return the identifier that the user adds, once a code was sent."""
        if self.adding is None or self.added is None:
            return None
        return stored_identifier(self.adding, self.added)


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
    """The user and the session of a login, and its next step."""

    step: Step
    identifier: str | None
    channel: Channel
    user_id: str
    session_id: str
    amr: list[str]
    new_digest: bytes
    adding: IdentifierType | None


class _RecordSent(NamedTuple):
    tenant_id: str
    login_id: str
    browser_digest: bytes
    identifier: str
    channel: Channel
    challenge_id: str | None
    code_length: int
    resend_after: int
    link_box: bytes | None
    step: Step


class _RecordAddition(NamedTuple):
    tenant_id: str
    login_id: str
    browser_digest: bytes
    identifier: str
    type: IdentifierType
    challenge_id: str | None
    code_length: int
    resend_after: int


class _FinishAddition(NamedTuple):
    tenant_id: str
    login_id: str
    browser_digest: bytes
    type: IdentifierType
    step: Step
    adding: IdentifierType | None


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
    adding: IdentifierType | None


class _Committed(NamedTuple):
    tenant_id: str
    login_id: str
    new_digest: bytes


class _NewLogin(NamedTuple):
    tenant_id: str
    login_id: str
    browser_digest: bytes
    request: str
    step: Step
    adding: IdentifierType | None
    user_id: str | None
    session_id: str | None


class _Moved(NamedTuple):
    id: str


_INSERT_LOGIN = _QUERIES.statement("insert_account_login", _NewLogin, _Moved)
_FIND_LOGIN = _QUERIES.statement("find_login", LoginKey, Login)
_RECORD_SENT = _QUERIES.statement("record_sent", _RecordSent, _Moved)
_START_AGAIN = _QUERIES.statement("start_again", _StartAgain, _Moved)
_SET_LOCALE = _QUERIES.statement("set_locale", _SetLocale, _Moved)
_COMPLETE_LOGIN = _QUERIES.statement("complete_login", _CompleteLogin, _Moved)
_FIND_COMPLETED = _QUERIES.statement("find_completed_login", _Committed, _Moved)
_RECORD_ADDITION = _QUERIES.statement("record_addition", _RecordAddition, _Moved)
_CHANGE_ADDITION = _QUERIES.statement("change_addition", LoginKey, _Moved)
_FINISH_ADDITION = _QUERIES.statement("finish_addition", _FinishAddition, _Moved)
_FINISH_CONSENT = _QUERIES.statement("finish_consent", LoginKey, _Moved)
_REFUSE_LOGIN = _QUERIES.statement("refuse_login", LoginKey, _Moved)


async def insert_account_login(
    postgres: Postgres, key: LoginKey, request: AuthorizationRequest, addition: Addition
) -> None:
    """Insert a login for the account pages."""
    step: Step = "start" if addition.session_id is None else "profile"
    await postgres.row(_INSERT_LOGIN, _NewLogin(*key, encode_request(request), step, *addition))


async def find_login(postgres: Postgres, key: LoginKey) -> Login | None:
    """Return a login of a browser; None for an unknown one, and for one of another browser."""
    return await postgres.row(_FIND_LOGIN, key)


async def record_sent(postgres: Postgres, key: LoginKey, sent: SentCode) -> bool:
    """Move to the step `code`, or `waiting` for a link. Return whether the login was at one of them, or at `start`."""
    step: Step = "code" if sent.link_box is None else "waiting"
    row = _RecordSent(
        *key,
        sent.identifier.value,
        sent.identifier.channel,
        sent.challenge_id,
        sent.code_length,
        sent.resend_after,
        sent.link_box,
        step,
    )
    return await postgres.row(_RECORD_SENT, row) is not None


async def record_addition(postgres: Postgres, key: LoginKey, sent: SentCode) -> None:
    """Keep the identifier that the user adds, and its code."""
    identifier = sent.identifier
    row = _RecordAddition(
        *key, identifier.value, identifier.type, sent.challenge_id, sent.code_length, sent.resend_after
    )
    await postgres.row(_RECORD_ADDITION, row)


async def change_addition(postgres: Postgres, key: LoginKey) -> None:
    """Let the user enter another identifier to add."""
    await postgres.row(_CHANGE_ADDITION, key)


async def finish_addition(
    postgres: Postgres, key: LoginKey, added: IdentifierType, step: Step, adding: IdentifierType | None
) -> None:
    """Move on after an identifier was added: to `step`, or to the next identifier to add."""
    await postgres.row(_FINISH_ADDITION, _FinishAddition(*key, added, step, adding))


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
