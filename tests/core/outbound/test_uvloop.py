"""The tests of the transport once more on uvloop, the event loop of `auth1 serve`."""

import os
import sys
from pathlib import Path

import pytest

from tests.core.outbound.conftest import LOOP
from tests.openapi.conftest import run

WITHOUT_LOOP = "test_responses.py"  # the parser, which is the same on every event loop


@pytest.mark.skipif(LOOP in os.environ, reason="this is the process that runs the tests on uvloop")
async def test_transport_works_on_uvloop() -> None:
    folder = Path(__file__).parent

    code, printed = await run(
        *(sys.executable, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider", str(folder)),
        *("--ignore", str(folder / WITHOUT_LOOP)),
        environment={**os.environ, LOOP: "uvloop"},
        directory=folder.parents[2],
    )

    assert code == 0, printed
