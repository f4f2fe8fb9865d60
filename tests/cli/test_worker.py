"""The set-up of a worker process before it serves."""

import subprocess
import sys

from auth1.app import YOUNG_OBJECTS

PROGRAM = "import gc; from auth1.app import make_app; make_app(); print(gc.get_threshold()[0])"


def test_worker_lets_the_garbage_collector_run_less_often(environment: dict[str, str]) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False)

    assert done.stdout.splitlines()[-1:] == [str(YOUNG_OBJECTS)], done.stderr
