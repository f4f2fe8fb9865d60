"""Record a flame graph of a worker under logins, and list the functions that use most of its CPU.

    just profile [--seconds 30] [--users 16] [--output profile.speedscope.json] [--rate 200] [--svg FILE]

py-spy samples the worker from outside, so the worker runs as always. It needs the right to trace processes: root, or
`sudo sysctl kernel.yama.ptrace_scope=0`. The output opens on https://www.speedscope.app, which keeps it in the browser;
`--svg` draws the thread of the event loop as a picture. The table has the functions by their own samples, and by those
of all that they call, as parts of the worker's CPU time. It does not show granian's Rust threads: only Python functions
and the C functions that they call.
"""

import argparse
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import uvloop

from bench import flame
from bench.load import Flow, Pool, closed_loop
from bench.stage import Serving, Stage, set_up
from bench.wire import Wire

TOP = 25
EVERYWHERE = 0.6  # the share of frames below every request, such as the event loop


def start_py_spy(pid: int, seconds: float, rate: int, output: Path) -> subprocess.Popen[bytes]:
    """Start py-spy on a process."""
    program = Path(sys.executable).with_name("py-spy")
    options = ["--pid", str(pid), "--duration", f"{seconds:.0f}", "--rate", str(rate), "--nonblocking"]
    return subprocess.Popen([program, "record", "--format", "speedscope", "--output", output, *options])


async def log_in_under_py_spy(stage: Stage, server: Serving, users: int, seconds: float, rate: int, out: Path) -> int:
    """Let users log in while py-spy samples the worker; return py-spy's status."""
    pool, flow = Pool(server.port, stage.twilio.port), Flow(Wire(server.tenant()["api_key"]))
    await closed_loop(flow, pool, users, 3.0)
    with start_py_spy(server.workers[-1], seconds, rate, out) as sampler:
        await closed_loop(flow, pool, users, seconds + 2.0)
    pool.close()
    return sampler.returncode


def names(recording: dict[str, Any]) -> list[str]:
    """Return the functions of a recording's frames, with their files."""
    return [f"{_short(frame.get('file', ''))}:{frame['name']}" for frame in recording["shared"]["frames"]]


def shares(recording: dict[str, Any]) -> tuple[Counter[str], Counter[str]]:
    """Return each function's part of all samples: on top of the stack, and anywhere in it."""
    frames = names(recording)
    own, total = Counter[str](), Counter[str]()
    for profile in recording["profiles"]:
        sampled = zip(profile["samples"], profile["weights"], strict=True)
        for stack, weight in ((stack, weight) for stack, weight in sampled if stack):
            own[frames[stack[-1]]] += weight
            for name in {frames[frame] for frame in stack}:
                total[name] += weight
    everything = sum(own.values()) or 1
    return (
        Counter({name: value / everything for name, value in own.items()}),
        Counter({name: value / everything for name, value in total.items()}),
    )


def _short(file: str) -> str:
    """Return the path of a source file from its package on."""
    for root in ("site-packages/", "/auth1/", "lib/python3"):
        if root in file:
            return ("auth1/" if root == "/auth1/" else "") + file.rpartition(root)[2]
    return file


def run() -> None:
    """Record a profile and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--users", type=int, default=16, help="people who log in at the same time")
    parser.add_argument("--rate", type=int, default=200, help="samples per second")
    parser.add_argument("--output", type=Path, default=Path("profile.speedscope.json"))
    parser.add_argument("--svg", type=Path, help="draw the flame graph into this file")
    options = parser.parse_args()
    with set_up() as stage, stage.serve(WORKERS="1", TIMEOUT_SCALE="10") as server:
        status = uvloop.run(
            log_in_under_py_spy(stage, server, options.users, options.seconds, options.rate, options.output)
        )
    if status != 0:
        raise SystemExit(f"py-spy ended with status {status}")
    recording = json.loads(options.output.read_text())
    own, total = shares(recording)
    print(f"{'own':>7} {'function':62}{'total':>7} function")
    callers = Counter({name: part for name, part in total.items() if part < EVERYWHERE})
    for (name, part), (caller, whole) in zip(own.most_common(TOP), callers.most_common(TOP), strict=False):
        print(f"{part:7.1%} {name:62}{whole:7.1%} {caller}")
    if options.svg:
        title = f"CPU of a worker, {options.users} users at a time: request a code, verify it, check the session"
        flame.write(options.svg, recording, names(recording), title)
    print(f"{options.output}: open it on https://www.speedscope.app")


if __name__ == "__main__":
    run()
