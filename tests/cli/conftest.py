"""Fixtures of the command line tests: run a command, and a server on the same database."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.support.commands import CODE, CommandServer, Ended
from tests.support.process import Auth1

Run = Callable[..., Awaitable[Ended]]


@pytest.fixture(scope="module")
def run(environment: dict[str, str], command_server: CommandServer) -> Run:
    """Run `auth1 …` in the environment of the tests, changed by keywords; an empty value unsets."""

    async def run(*arguments: str, **changes: str) -> Ended:
        named = {name: value for name, value in (environment | changes).items() if value}
        return await command_server.run(arguments, {"PATH": os.environ["PATH"], "PYTHONPATH": str(CODE), **named})

    return run


@pytest.fixture(scope="module")
async def server(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Auth1]:
    """Return a server on the database that the commands change."""
    async with Auth1(environment, tmp_path_factory.mktemp("auth1") / "log") as running:
        yield running
