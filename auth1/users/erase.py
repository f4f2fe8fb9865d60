"""Erase a user with its sessions, grants, identifiers, challenges, messages and links in one transaction.

A delivery report locks the message before its identifier, and a hosted login its row; an erasure locks them in the
other order. So it does not wait for a locked message or login: it rolls back and retries a moment later.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from auth1.core.ids import new_id
from auth1.core.postgres import Postgres, Queries, Transaction
from auth1.errors import Unavailable
from auth1.events.log import EventContext, RecordedEvent, read_events
from auth1.row_keys import IdRow, TenantKey, UserKey
from auth1.users.statements import IdentifierList
from auth1.users.store import lock_account

_QUERIES = Queries("users")
TRIES = 8
PAUSE_S = 0.05
OnUncertainCommit = Callable[[list[str]], Awaitable[None]]


class IdentifierRow(NamedTuple):
    """A row of `lock_identifiers_to_erase`."""

    identifier: str


class EraseLogins(NamedTuple):
    """Parameters of `erase_logins`."""

    tenant_id: str
    user_id: str
    identifiers: list[str]


class BusyRow(NamedTuple):
    """A row of `erase_challenges` and `erase_logins`: the number of rows that other transactions have locked."""

    busy: int


class EraseUser(NamedTuple):
    """Parameters of `erase_user`."""

    tenant_id: str
    user_id: str
    identifiers: list[str]
    event_id: str
    actor: str
    request_id: str | None
    network: str | None
    keeps_budgets: bool


class EraseUserRow(NamedTuple):
    """A row of `erase_user`."""

    sessions: list[str]
    events: str | None


LOCK_IDENTIFIERS_TO_ERASE = _QUERIES.statement("lock_identifiers_to_erase", UserKey, IdentifierRow)
ERASE_CHALLENGES = _QUERIES.statement("erase_challenges", IdentifierList, BusyRow)
ERASE_LOGINS = _QUERIES.statement("erase_logins", EraseLogins, BusyRow)
LOCK_USER_TO_ERASE = _QUERIES.statement("lock_user_to_erase", UserKey, IdRow)
LOCK_LISTS_TO_ERASE = _QUERIES.statement("lock_lists_to_erase", IdentifierList, TenantKey)
ERASE_LIST_ENTRIES = _QUERIES.statement("erase_list_entries", IdentifierList, TenantKey)
ERASE_USER = _QUERIES.statement("erase_user", EraseUser, EraseUserRow)


class Erased(NamedTuple):
    """An erased user: the event and the sessions that were erased, and whether allow lists had its number."""

    events: list[RecordedEvent]
    sessions: list[str]
    has_changed_lists: bool


class _Busy(Exception):
    """Another transaction is changing the rows to erase."""


async def erase_user(
    postgres: Postgres,
    tenant_id: str,
    user_id: str,
    context: EventContext,
    on_uncertain_commit: OnUncertainCommit,
    *,
    keep_budgets: bool = False,
) -> Erased | None:
    """Erase a user; return None when there is none. Raises Unavailable while other transactions change it.

    `keep_budgets` keeps its phone and email for two days, with the times of sends and wrong codes only.
    `on_uncertain_commit` receives the sessions when the result of the commit is unknown.
    """
    for _ in range(TRIES):
        try:
            return await _erase(postgres, tenant_id, user_id, context, on_uncertain_commit, keep_budgets)
        except _Busy:
            await asyncio.sleep(PAUSE_S)
    raise Unavailable("The user is being changed by another request; retry.", retry_after=1)


async def _erase(
    postgres: Postgres,
    tenant_id: str,
    user_id: str,
    context: EventContext,
    on_uncertain_commit: OnUncertainCommit,
    keep_budgets: bool,
) -> Erased | None:
    erased: Erased | None = None
    try:
        async with postgres.transaction() as transaction:
            erased = await _erase_in(transaction, tenant_id, user_id, context, keep_budgets)
    except Unavailable:
        if erased is not None:
            await on_uncertain_commit(erased.sessions)
        raise
    return erased


async def _erase_in(
    transaction: Transaction, tenant_id: str, user_id: str, context: EventContext, keep_budgets: bool
) -> Erased | None:
    key = UserKey(tenant_id, user_id)
    await lock_account(transaction, tenant_id, user_id)
    rows = await transaction.rows(LOCK_IDENTIFIERS_TO_ERASE, key)
    identifiers = [row.identifier for row in rows]
    # A separate statement after the lock sees the challenges that were opened during the wait.
    challenges = await transaction.row(ERASE_CHALLENGES, IdentifierList(tenant_id, identifiers))
    if challenges is None or challenges.busy:
        raise _Busy
    if await transaction.row(LOCK_USER_TO_ERASE, key) is None:
        return None
    # After the lock of the user: a login that continues a session takes it, so no row is missed.
    logins = await transaction.row(ERASE_LOGINS, EraseLogins(tenant_id, user_id, identifiers))
    if logins is None or logins.busy:
        raise _Busy
    params = EraseUser(tenant_id, user_id, identifiers, new_id("evt"), *context, keep_budgets)
    erased = await transaction.row(ERASE_USER, params)
    if erased is None:
        raise _Busy  # it got another identifier meanwhile
    lists = await transaction.row(LOCK_LISTS_TO_ERASE, IdentifierList(tenant_id, identifiers))
    if lists is not None:
        await transaction.row(ERASE_LIST_ENTRIES, IdentifierList(tenant_id, identifiers))
    return Erased(read_events(erased.events), erased.sessions, has_changed_lists=lists is not None)
