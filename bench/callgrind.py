"""A pytest plugin that counts the instructions of the tests of `test_pieces.py` instead of their time.

`bench.instructions` runs it under callgrind. It replaces the fixture `benchmark` for the group "alone". Each function
runs `FEW` and then `MANY` times, so that the difference contains no warm-up and no cost of the measurement itself.
Callgrind counts only between `start` and `stop`: all else runs without instrumentation, which is ten times faster.

Callgrind is controlled by instructions without effect, which only its C macros emit. The library with them is compiled
at the start, with a C compiler and valgrind's headers.
"""

import ctypes
import gc
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

GROUP = "alone"
WARM_UP = 300
FEW = 10
MANY = 110

_SOURCE = """
#include <valgrind/callgrind.h>
void start(void) { CALLGRIND_START_INSTRUMENTATION; CALLGRIND_ZERO_STATS; }
void stop(const char *name) { CALLGRIND_DUMP_STATS_AT(name); CALLGRIND_STOP_INSTRUMENTATION; }
"""


class Counter:
    """Does with a function what the fixture of pytest-benchmark does, and has callgrind write its instructions."""

    def __init__(self, library: ctypes.CDLL, name: str) -> None:
        self._library = library
        self._name = name

    def __call__(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Count the instructions of a function; return its last result."""
        for _ in range(WARM_UP):
            result = function(*arguments)
        gc.collect()
        gc.disable()
        for times in (FEW, MANY):
            self._library.start()
            for _ in range(times):
                result = function(*arguments)
            self._library.stop(f"{self._name} {times}".encode())
        gc.enable()
        return result


@pytest.fixture(scope="session")
def callgrind(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """Compile the library that controls callgrind."""
    folder: Path = tmp_path_factory.mktemp("callgrind")
    source, library = folder / "callgrind.c", folder / "callgrind.so"
    source.write_text(_SOURCE)
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
    return ctypes.CDLL(str(library))


@pytest.fixture
def benchmark(callgrind: ctypes.CDLL, request: pytest.FixtureRequest) -> Counter:
    """Return the replacement of pytest-benchmark's fixture."""
    return Counter(callgrind, request.node.name.removeprefix("test_"))


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker of pytest-benchmark, which does not run."""
    config.addinivalue_line("markers", "benchmark(group, timer, min_time): see pytest-benchmark")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests that need no servers: callgrind sees only one process."""
    marked = [(item, item.get_closest_marker("benchmark")) for item in items]
    items[:] = [item for item, marker in marked if marker is not None and marker.kwargs.get("group") == GROUP]
