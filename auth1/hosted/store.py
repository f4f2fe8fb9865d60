"""The statements of hosted logins: find one, and move it to the next step."""

from datetime import datetime
from typing import NamedTuple

from auth1.core.postgres import Batched, Postgres, Queries, function
from auth1.hosted.records import Addition, Completion, Login, LoginKey, SentCode, Step
from auth1.identifiers import Channel, IdentifierType
from auth1.oauth.authorization.codes import CODE_LIFE_S
from auth1.oauth.authorization.requests import AuthorizationRequest, encode_request

_QUERIES = Queries("hosted")


class _RecordSentCode(NamedTuple):
    tenant_id: str
    login_id: str
    browser_digest: bytes
    step: Step
    identifier: str
    channel: Channel
    challenge_id: str | None
    code_length: int
    resend_after: int
    link_box: bytes | None
    deadline: datetime | None = None  # set by Postgres.call


class _RecordedSentCode(NamedTuple):
    tenant_id: str
    login_id: str
    is_recorded: bool


class _CompleteLogin(NamedTuple):
    tenant_id: str
    login_id: str
    browser_digest: bytes
    new_digest: bytes
    identifier: str | None
    channel: Channel
    user_id: str
    session_id: str
    amr: list[str]
    adding: IdentifierType | None
    code_life_s: int
    deadline: datetime | None = None  # set by Postgres.call


class _CompletedLogin(NamedTuple):
    tenant_id: str
    login_id: str
    browser_digest: bytes
    step: Step | None


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


class _Committed(NamedTuple):
    tenant_id: str
    login_id: str
    browser_digest: bytes
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
_START_AGAIN = _QUERIES.statement("start_again", _StartAgain, _Moved)
_SET_LOCALE = _QUERIES.statement("set_locale", _SetLocale, _Moved)
_FIND_COMPLETED = _QUERIES.statement("find_completed_login", _Committed, _CompletedLogin)
_RECORD_ADDITION = _QUERIES.statement("record_addition", _RecordAddition, _Moved)
_CHANGE_ADDITION = _QUERIES.statement("change_addition", LoginKey, _Moved)
_FINISH_ADDITION = _QUERIES.statement("finish_addition", _FinishAddition, _Moved)
_FINISH_CONSENT = _QUERIES.statement("finish_consent", LoginKey, _Moved)
_DENY_LOGIN = _QUERIES.statement("deny_login", LoginKey, _Moved)
# Logins of one moment share a statement.
_LOGIN_FIELDS = ("tenant_id", "login_id", "browser_digest")
_FIND_LOGINS = Batched(function("find_logins", LoginKey, Login), id_fields=_LOGIN_FIELDS)
_RECORD_SENT_CODES = Batched(
    function("record_sent_codes", _RecordSentCode, _RecordedSentCode),
    id_fields=("tenant_id", "login_id"),
    lock_fields=("tenant_id", "login_id"),
)
_COMPLETE_LOGINS = Batched(
    function("complete_logins", _CompleteLogin, _CompletedLogin),
    id_fields=_LOGIN_FIELDS,
    lock_fields=("tenant_id", "browser_digest"),
)


async def insert_account_login(
    postgres: Postgres, key: LoginKey, request: AuthorizationRequest, addition: Addition
) -> None:
    """Insert a login for the account pages."""
    step: Step = "start" if addition.session_id is None else "profile"
    await postgres.row(_INSERT_LOGIN, _NewLogin(*key, encode_request(request), step, *addition))


async def find_login(postgres: Postgres, key: LoginKey) -> Login | None:
    """Return a login of a browser; None for an unknown one, and for one of another browser."""
    login = await _FIND_LOGINS.call(postgres, key)
    return login if login.is_found else None


async def record_sent(postgres: Postgres, key: LoginKey, sent: SentCode) -> bool:
    """Move to the step `code`, or `waiting` for a link. Return whether the login was at one of them, or at `start`."""
    step: Step = "code" if sent.link_box is None else "waiting"
    identifier = sent.identifier
    row = _RecordSentCode(
        *key,
        step,
        identifier.value,
        identifier.channel,
        sent.challenge_id,
        sent.code_length,
        sent.resend_after,
        sent.link_box,
    )
    return (await _RECORD_SENT_CODES.call(postgres, row)).is_recorded


async def record_addition(postgres: Postgres, key: LoginKey, sent: SentCode) -> None:
    """Store the identifier that the user adds, and its code."""
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
    """Store the language that the user chose."""
    await postgres.row(_SET_LOCALE, _SetLocale(*key, locale))


async def complete_login(postgres: Postgres, key: LoginKey, completion: Completion) -> bool:
    """Store user and session of a login. Return whether it was waiting for them.

    After a lost commit only the new cookie finds the login, so the browser must get it.
    """
    committed = _Committed(*key, completion.new_digest)

    async def find() -> _CompletedLogin | None:
        return await postgres.row(_FIND_COMPLETED, committed)

    row = await _COMPLETE_LOGINS.call(
        postgres, _CompleteLogin(**key._asdict(), **completion._asdict(), code_life_s=CODE_LIFE_S), find
    )
    return row.step is not None


async def finish_consent(postgres: Postgres, key: LoginKey) -> None:
    """Move to the step `done` after the consent."""
    await postgres.row(_FINISH_CONSENT, key)


async def deny_login(postgres: Postgres, key: LoginKey) -> None:
    """Move to the step `refused`."""
    await postgres.row(_DENY_LOGIN, key)
