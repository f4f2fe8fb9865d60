"""Measure whether the time of a response reveals that a number or an address has an account.

    python -m bench.enumeration [--samples 2000] [--sign-up closed] [--email] [--flush-ms 0] [--json]

Accounts exist first: their users log in once, or the tenant creates them (--sign-up closed, --email). Then requests
alternate over one connection, for a number with an account and for a new number:

    verify, no code           a wrong code without a live code: no_active_challenge for both
    request                   a request for a code; where sign-up is closed, only an account gets one
    verify, code live         a wrong code with a live code: invalid_code for both

The goal is a difference of medians within 1 ms; beyond it, and beyond chance, the exit code is 1. `slower` is the share
of pairs in which the response for an account took longer: 50 % if the time reveals nothing. `by chance` is the same
difference within one kind, between every second sample and the rest: a smaller difference is noise of this machine.

A call that writes waits for the disk; one that only reads does not. A virtual disk may take only 0.1 ms, which hides
this. --flush-ms makes each flush as slow as on the disks of servers: 1 to 5 ms.
"""

import argparse
import random
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice
from statistics import median

import msgspec
import uvloop

from bench.client import Connection, Person, Response, expect
from bench.phones import COUNT, phones
from bench.stage import Serving, Stage, set_up
from bench.wire import Wire

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

    @property
    def is_beyond(self) -> bool:
        """True where the difference is more than the bound and more than chance."""
        return abs(self.difference_ms) > max(BOUND_MS, self.chance_ms)


class Plan(msgspec.Struct, frozen=True):
    """Options."""

    samples: int = 2000
    sign_up: str = "open"
    email: bool = False

    @property
    def field(self) -> str:
        """The field of an identifier in the bodies of requests."""
        return "email" if self.email else "phone"

    def identifier(self, number: str) -> str:
        return f"user{number.removeprefix('+')}@example.com" if self.email else number


async def compare(stage: Stage, server: Serving, plan: Plan) -> list[Comparison]:
    """Measure all three calls, for the same numbers in the same order."""
    tenant = server.tenant(otp_length=10, sign_up=plan.sign_up)  # so that no guess is right
    numbers = map(plan.identifier, phones())
    strangers = list(islice(numbers, plan.samples))
    accounts = list(islice(numbers, plan.samples))
    connection, wire = await Connection.open(server.port), Wire(tenant["api_key"])
    await _create_accounts(stage, server, tenant, plan, accounts)

    async def guess(identifier: str) -> Response:
        body = {plan.field: identifier, "code": "0" * 10}
        return expect(await connection.send(wire.post("/api/auth/verify", body)), 400)

    async def ask(identifier: str) -> Response:
        return expect(await connection.send(wire.post("/api/auth/request", {plan.field: identifier})), 200)

    # Evict the identifiers that have just logged in from the caches of parsed ones.
    for identifier in islice(numbers, REMEMBERED):
        await guess(identifier)
    calls = {"verify, no live code": guess, "request": ask, "verify, code live": guess}
    comparisons = [_compared(name, *(await _by_turns(call, accounts, strangers))) for name, call in calls.items()]
    connection.close()
    return comparisons


async def _create_accounts(
    stage: Stage, server: Serving, tenant: dict[str, str], plan: Plan, accounts: Sequence[str]
) -> None:
    """Log the accounts in once; where strangers cannot or no phone shows the code, let the tenant create them."""
    if plan.sign_up == "open" and not plan.email:
        person = await Person.arrive(server.port, stage.twilio.port, tenant["api_key"])
        for number in accounts:
            await person.log_in(number)
        person.leave()
        return
    connection, wire = await Connection.open(server.port), Wire(tenant["secret_key"])
    for identifier in accounts:
        expect(await connection.send(wire.post("/api/tenant/users", {plan.field: identifier})), 201)
    connection.close()


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
    parser.add_argument("--sign-up", choices=["open", "closed"], default="open", help="setting of the tenant")
    parser.add_argument("--email", action="store_true", help="addresses instead of numbers")
    parser.add_argument("--flush-ms", type=float, default=0, help="added to each flush of PostgreSQL to the disk")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    if not 2 <= options.samples <= MAX_SAMPLES:
        parser.error(f"--samples must be from 2 to {MAX_SAMPLES}")
    slow_disk = {"commit_siblings": "0", "commit_delay": str(int(options.flush_ms * 1000))}
    plan = Plan(options.samples, options.sign_up, options.email)
    with set_up(slow_disk) as stage, stage.serve(SMTP_URL="console:" if plan.email else "") as server:
        comparisons = uvloop.run(compare(stage, server, plan))
    if options.json:
        print(msgspec.json.encode(comparisons).decode())
    else:
        _print(plan, comparisons)
    sys.exit(any(one.is_beyond for one in comparisons))


def _print(plan: Plan, comparisons: Sequence[Comparison]) -> None:
    columns = f"{'account':>10}{'stranger':>10}{'difference':>12}{'by chance':>11}{'slower':>8}"
    print(f"{f'{plan.samples} samples each, ms':30}{columns}")
    for one in comparisons:
        verdict = f"   more than {BOUND_MS:g} ms" if one.is_beyond else ""
        print(
            f"{one.call:30}{one.account_ms:10.3f}{one.stranger_ms:10.3f}{one.difference_ms:+12.3f}"
            f"{one.chance_ms:11.3f}{one.slower:8.0%}{verdict}"
        )


if __name__ == "__main__":
    run()
