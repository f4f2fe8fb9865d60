"""Fixtures of the command line tests: run a command, and a server on the same database."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

import auth1
from tests.support.process import Auth1

CODE = Path(auth1.__file__).parents[1]
PATIENCE_S = 300.0


class Ended(NamedTuple):
    """The exit code and output of a command."""

    code: int
    out: str
    err: str

    def json(self) -> dict[str, Any]:
        """Return the output as exactly one JSON object."""
        return msgspec.json.decode(self.out, type=dict[str, Any])


Run = Callable[..., Awaitable[Ended]]


@pytest.fixture(scope="module")
def run(environment: dict[str, str]) -> Run:
    """Run `auth1 …` in the environment of the tests, changed by keywords; an empty value unsets."""

    async def run(*arguments: str, **changes: str) -> Ended:
        named = {name: value for name, value in (environment | changes).items() if value}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "auth1", *arguments),
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(CODE), **named},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(PATIENCE_S):
                out, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return Ended(process.returncode or 0, out.decode(), err.decode())

    return run


@pytest.fixture(scope="module")
async def server(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Auth1]:
    """Return a server on the database that the commands change."""
    async with Auth1(environment, tmp_path_factory.mktemp("auth1") / "log") as running:
        yield running
