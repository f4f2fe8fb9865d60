"""Logins without an answer: what Redis and the process keep of them, and how many codes their repeats may try."""

import asyncio
import secrets
from collections.abc import Sequence
from typing import Any

import pytest

from auth1.core.redis import Redis, RedisUnavailable, Script
from auth1.errors import Unavailable
from auth1.sessions.unanswered import MAX_TRIED, UnansweredKey, find, flush, keep

KEEP, FIND = "unanswered_keep", "unanswered_find"


class Faults:
    """Records the scripts that a client runs. Those in `failing` fail, those in `frozen` wait."""

    def __init__(self, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
        self.failing: set[str] = set()
        self.frozen: set[str] = set()
        self._has_frozen = asyncio.Event()
        self.thawed = asyncio.Event()
        self.scripts: list[str] = []
        self._run = redis.run
        monkeypatch.setattr(redis, "run", self.run)

    async def run(self, script: Script, keys: Sequence[str], arguments: Sequence[Any] = ()) -> object:
        self.scripts.append(script.name)
        if script.name in self.failing:
            raise RedisUnavailable
        if script.name in self.frozen:
            self._has_frozen.set()
            await self.thawed.wait()
        return await self._run(script, keys, arguments)

    async def until_frozen(self, task: asyncio.Task[None]) -> None:
        """Wait until the task waits for a frozen script."""
        waiting = asyncio.create_task(self._has_frozen.wait())
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        assert not task.done(), "it ended without the script"


@pytest.fixture
def faults(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> Faults:
    return Faults(redis, monkeypatch)


def new_login() -> UnansweredKey:
    return UnansweredKey(f"unanswered:{{{secrets.token_hex(8)}}}:00", secrets.token_hex(32))


def guess(login: UnansweredKey) -> UnansweredKey:
    """Return another code of the same identifier."""
    return login._replace(code=secrets.token_hex(32))


async def test_kept_guesses_count_as_tried(redis: Redis) -> None:
    login = new_login()
    await keep(redis, login, ["evt_1"])
    guesses = [guess(login) for _ in range(MAX_TRIED)]
    for one in guesses:
        await keep(redis, one, ["evt_2"])

    assert [await find(redis, one) for one in guesses] == [["evt_2"]] * MAX_TRIED
    assert await find(redis, login) == []


async def test_simultaneous_guesses_are_limited(redis: Redis) -> None:
    login = new_login()
    guesses = [guess(login) for _ in range(4 * MAX_TRIED)]
    for one in guesses:
        await keep(redis, one, ["evt_1"])

    found = await asyncio.gather(*(find(redis, one) for one in guesses))

    assert found.count(["evt_1"]) == MAX_TRIED


async def test_guesses_that_are_kept_later_give_no_further_attempts(redis: Redis) -> None:
    login = new_login()
    await keep(redis, login, ["evt_1"])
    for _ in range(MAX_TRIED):
        await find(redis, guess(login))
    await keep(redis, guess(login), ["evt_2"])
    await keep(redis, login, ["evt_3"])

    assert await find(redis, login) == []


async def test_kept_guesses_do_not_take_the_place_of_the_login(redis: Redis) -> None:
    login = new_login()
    for _ in range(100):
        await keep(redis, guess(login), ["evt_1"])
    await keep(redis, login, ["evt_2"])

    assert await find(redis, login) == ["evt_2"]


async def test_repeats_of_one_code_count_once(redis: Redis) -> None:
    login = new_login()
    await keep(redis, login, ["evt_1"])

    assert [await find(redis, login) for _ in range(3 * MAX_TRIED)] == [["evt_1"]] * (3 * MAX_TRIED)
    for _ in range(MAX_TRIED - 1):
        await find(redis, guess(login))
    assert await find(redis, login) == ["evt_1"]


@pytest.mark.parametrize("writer", ["keep", "flush"])
async def test_cancelled_write_loses_no_login(redis: Redis, faults: Faults, writer: str) -> None:
    login = new_login()
    if writer == "flush":
        faults.failing = {KEEP}
        await keep(redis, login, ["evt_1"])
        faults.failing = set()
    faults.frozen = {KEEP}
    writing = asyncio.create_task(flush(redis) if writer == "flush" else keep(redis, login, ["evt_1"]))
    await faults.until_frozen(writing)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    faults.frozen = set()

    assert await find(redis, login) == ["evt_1"]


async def test_login_whose_write_is_in_flight_is_not_denied(redis: Redis, faults: Faults) -> None:
    login = new_login()
    faults.failing = {KEEP}
    await keep(redis, login, ["evt_1"])
    faults.failing, faults.frozen = set(), {KEEP}
    flushing = asyncio.create_task(flush(redis))
    await faults.until_frozen(flushing)
    faults.failing = {KEEP}

    with pytest.raises(Unavailable):
        await find(redis, login)

    flushing.cancel()


async def test_ids_that_are_kept_during_a_write_are_written_later(redis: Redis, faults: Faults) -> None:
    login = new_login()
    faults.frozen = {KEEP}
    first = asyncio.create_task(keep(redis, login, ["evt_1"]))
    await faults.until_frozen(first)
    faults.frozen, faults.failing = set(), {KEEP}
    await keep(redis, login, ["evt_2"])
    faults.thawed.set()
    await first
    faults.failing = set()

    assert set(await find(redis, login)) == {"evt_1", "evt_2"}


async def test_repeat_writes_only_its_own_login(redis: Redis, faults: Faults) -> None:
    login, others = new_login(), [new_login() for _ in range(3)]
    faults.failing = {KEEP}
    for one in (*others, login):
        await keep(redis, one, ["evt_1"])
    faults.failing, faults.scripts = set(), []

    assert await find(redis, login) == ["evt_1"]
    assert faults.scripts == [KEEP, FIND]
    await flush(redis)
    assert faults.scripts == [KEEP, FIND] + [KEEP] * 3


async def test_login_is_written_once(redis: Redis, faults: Faults) -> None:
    login = new_login()
    await keep(redis, login, ["evt_1"])
    await flush(redis)

    assert await find(redis, login) == ["evt_1"]
    assert faults.scripts == [KEEP, FIND]


@pytest.mark.parametrize(
    ("kept", "found"),
    [
        (b"\xff\xfe", []),
        (b"evt_1 \x00 garbage evt_\xff2 evt_3", ["evt_1", "evt_3"]),
        (b"evt_" + b"1" * 100, []),
    ],
)
async def test_garbage_among_the_ids_of_a_login_is_ignored(redis: Redis, kept: bytes, found: list[str]) -> None:
    login = new_login()
    await redis.call("HSET", login.identifier, login.code, kept)

    assert await find(redis, login) == found
