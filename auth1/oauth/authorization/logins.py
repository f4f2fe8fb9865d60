"""The statement that begins a hosted login of an application."""

from datetime import datetime
from functools import partial
from typing import NamedTuple

from auth1.core.postgres import Batched, Postgres, find_nothing, function, repeat_once
from auth1.oauth.authorization.codes import CODE_LIFE_S


class NewLogin(NamedTuple):
    """A login to begin. With a user it continues a session of the browser; the caller makes the id.

    At the step `done` it has its first code, which is number 1.
    """

    tenant_id: str
    login_id: str
    browser_digest: bytes
    client_id: str
    request: str
    step: str
    user_id: str | None = None
    session_id: str | None = None
    amr: list[str] | None = None
    identifier: str | None = None
    channel: str | None = None


class _StartLogin(NamedTuple):
    tenant_id: str
    login_id: str
    browser_digest: bytes
    client_id: str
    request: str
    step: str
    user_id: str | None
    session_id: str | None
    amr: list[str] | None
    identifier: str | None
    channel: str | None
    code_life_s: int
    deadline: datetime | None = None  # set by Postgres.call


class _StartedLogin(NamedTuple):
    tenant_id: str
    login_id: str
    is_started: bool


def _has_no_user(request: _StartLogin) -> bool:
    """Return whether a request can share a batch. One with a user may wait for the lock of the user."""
    return request.user_id is None


_FUNCTION = function("start_logins", _StartLogin, _StartedLogin)
_START_LOGINS = Batched(_FUNCTION, id_fields=("tenant_id", "login_id"), can_share=_has_no_user)


async def start_login(postgres: Postgres, login: NewLogin) -> bool:
    """Begin a login. False if its user was erased meanwhile. Repeated after a lost connection, it changes nothing."""
    row = await _START_LOGINS.call(postgres, _StartLogin(*login, CODE_LIFE_S))
    return row.is_started


async def start_pushed_login(postgres: Postgres, login: NewLogin) -> bool:
    """Begin the login of a pushed request. False if another browser has begun it, or its user was erased."""
    run = partial(postgres.call, _FUNCTION, _StartLogin(*login, CODE_LIFE_S))
    [row] = await repeat_once(run, find_nothing)
    return row.is_started
