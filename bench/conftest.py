"""Fixtures of the benchmarks of parts: real servers, and Auth1 in this process."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import uvloop

from bench import accounts
from bench.inside import Inside, inside
from bench.phones import phones
from bench.stage import set_up

# Runs a coroutine to its end; between calls the loop does not run, so that nothing else is measured.
Run = Callable[[Coroutine[Any, Any, object]], object]


@pytest.fixture(scope="session")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = uvloop.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture(scope="session")
def run(loop: asyncio.AbstractEventLoop) -> Run:
    return loop.run_until_complete


@pytest.fixture(scope="session")
def numbers() -> Iterator[str]:
    """Unused phone numbers."""
    return phones()


@pytest.fixture(scope="session")
def auth1(loop: asyncio.AbstractEventLoop, numbers: Iterator[str]) -> Iterator[Inside]:
    """Return Auth1, warm, with the CPU of its servers counted."""
    with set_up() as stage:
        stack = AsyncExitStack()
        auth1 = loop.run_until_complete(stack.enter_async_context(inside(stage)))
        for _ in range(50):  # by then the statements have their plans
            loop.run_until_complete(auth1.log_in(next(numbers)))
        accounts.watch(*accounts.family(stage.postgres.pid), stage.redis.pid)
        yield auth1
        accounts.watch()
        loop.run_until_complete(stack.aclose())
