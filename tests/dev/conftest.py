"""Fixtures of the tests of embedded servers: a query, a process state, a parent that can be killed."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest

import auth1

CODE = Path(auth1.__file__).parents[1]


@pytest.fixture
def query() -> Callable[[str, str], object]:
    """Run one statement on a new connection and return its one value."""

    async def run(url: str, sql: str) -> object:
        connection = await asyncpg.connect(url, timeout=300)
        try:
            return await connection.fetchval(sql, timeout=300)
        finally:
            connection.terminate()

    return lambda url, sql: asyncio.run(run(url, sql))


@pytest.fixture
def state() -> Callable[[int], str]:
    """Return the state letter of a process (proc(5)); empty when it has ended."""

    def state(pid: int) -> str:
        with suppress(OSError):
            letter = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            return "" if letter == "Z" else letter
        return ""

    return state


class Parent:
    """parent.py as a process in its own process group."""

    def __init__(self, data_dir: Path, *acts: str, python: str, code: Path, user: int | None) -> None:
        path = os.pathsep.join([str(code), *filter(None, [os.environ.get("PYTHONPATH")])])
        self.process = subprocess.Popen(
            [python, "-c", Path(__file__).with_name("parent.py").read_text(), data_dir, *acts],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path, "HOME": str(data_dir), "TMPDIR": str(data_dir)},
            cwd=data_dir,
            process_group=0,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
        )

    def line(self) -> str:
        """Return the next line that it prints."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self, said: str = "") -> str:
        """Send a line, wait for its end and return the rest of its output."""
        return self.process.communicate(said, timeout=300)[0].strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def parent() -> Iterator[Callable[..., Parent]]:
    """Start parent.py; all of them are killed at the end of the test."""
    started: list[Parent] = []

    def start(
        data_dir: Path, *acts: str, python: str = sys.executable, code: Path = CODE, user: int | None = None
    ) -> Parent:
        started.append(Parent(data_dir, *acts, python=python, code=code, user=user))
        return started[-1]

    yield start
    for one in started:
        one.kill()
