"""Measure whether the time of a response reveals that a number has an account.

    python -m bench.enumeration [--samples 2000] [--flush-ms 0] [--json]

Users log in once to create accounts. Then requests alternate over one connection, for a number with an account and for
a new number:

    verify, no code           a wrong code without a live code: no_active_challenge for both
    request                   a request for a code
    verify, code live         a wrong code with a live code: invalid_code for both

The goal is a difference of medians within 1 ms. `slower` is the share of pairs in which the response for an account
took longer: 50 % if the time reveals nothing. `by chance` is the same difference within one kind, between every second
sample and the rest: a smaller difference is noise of this machine.

A call that writes waits for the disk; one that only reads does not. A virtual disk may take only 0.1 ms, which hides
this. --flush-ms makes each flush as slow as on the disks of servers: 1 to 5 ms.
"""

import argparse
import random
from bisect import bisect_left, bisect_right
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice
from statistics import median

import msgspec
import uvloop

from bench.client import Person, Response, expect
from bench.phones import COUNT, phones
from bench.stage import Serving, Stage, set_up

BOUND_MS = 1.0
REMEMBERED = 1024
MAX_SAMPLES = (COUNT - REMEMBERED) // 2


class Comparison(msgspec.Struct, frozen=True):
    """Medians in ms, and their difference."""

    call: str
    account_ms: float
    stranger_ms: float
    difference_ms: float
    chance_ms: float
    slower: float


async def compare(stage: Stage, server: Serving, samples: int) -> list[Comparison]:
    """Measure all three calls, for the same numbers in the same order."""
    tenant = server.tenant(otp_length=10)  # so that no guess is right
    numbers = phones()
    strangers = list(islice(numbers, samples))
    accounts = list(islice(numbers, samples))
    person = await Person.arrive(server.port, stage.twilio.port, tenant["api_key"])
    for number in accounts:
        await person.log_in(number)

    async def guess(number: str) -> Response:
        return expect(await person.answer(number, "0" * 10), 400)

    async def ask(number: str) -> Response:
        return expect(await person.ask(number), 200)

    # Evict the numbers that have just logged in from the cache of parsed numbers.
    for number in islice(numbers, REMEMBERED):
        await guess(number)
    calls = {"verify, no live code": guess, "request": ask, "verify, code live": guess}
    comparisons = [_compared(name, *(await _by_turns(call, accounts, strangers))) for name, call in calls.items()]
    person.leave()
    return comparisons


async def _by_turns(
    call: Callable[[str], Awaitable[Response]], accounts: Sequence[str], strangers: Sequence[str]
) -> tuple[list[float], list[float]]:
    """Call for an account and for a new number, in random order."""
    lot = random.Random(1)
    times: tuple[list[float], list[float]] = ([], [])
    for pair in zip(accounts, strangers, strict=True):
        for kind in lot.sample((0, 1), 2):
            times[kind].append((await call(pair[kind])).elapsed_s * 1000)
    return times


def _compared(call: str, accounts: list[float], strangers: list[float]) -> Comparison:
    ordered = sorted(strangers)
    # Ties count half, so that two equal lists give 50 %.
    wins = sum(bisect_left(ordered, took) + bisect_right(ordered, took) for took in accounts) / 2
    return Comparison(
        call=call,
        account_ms=median(accounts),
        stranger_ms=median(strangers),
        difference_ms=median(accounts) - median(strangers),
        chance_ms=max(abs(median(kind[::2]) - median(kind[1::2])) for kind in (accounts, strangers)),
        slower=wins / (len(accounts) * len(strangers)),
    )


def run() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.enumeration", description="Do answers tell by their time?")
    parser.add_argument("--samples", type=int, default=2000, help=f"of each kind and call, 2 to {MAX_SAMPLES}")
    parser.add_argument("--flush-ms", type=float, default=0, help="added to each flush of PostgreSQL to the disk")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    if not 2 <= options.samples <= MAX_SAMPLES:
        parser.error(f"--samples must be from 2 to {MAX_SAMPLES}")
    slow_disk = {"commit_siblings": "0", "commit_delay": str(int(options.flush_ms * 1000))}
    with set_up(slow_disk) as stage, stage.serve() as server:
        comparisons = uvloop.run(compare(stage, server, options.samples))
    if options.json:
        print(msgspec.json.encode(comparisons).decode())
        return
    columns = f"{'account':>10}{'stranger':>10}{'difference':>12}{'by chance':>11}{'slower':>8}"
    print(f"{f'{options.samples} samples each, ms':30}{columns}")
    for one in comparisons:
        reported = abs(one.difference_ms) > max(BOUND_MS, one.chance_ms)
        verdict = f"   more than {BOUND_MS:g} ms" if reported else ""
        print(
            f"{one.call:30}{one.account_ms:10.3f}{one.stranger_ms:10.3f}{one.difference_ms:+12.3f}"
            f"{one.chance_ms:11.3f}{one.slower:8.0%}{verdict}"
        )


if __name__ == "__main__":
    run()
