"""Measure one world under several defences; run many worlds in several processes."""

import asyncio
import itertools
import json
import os
import sys
from bisect import bisect_left
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Literal

import uvloop

from auth1.core.redis import Redis
from bench.fraud.attackers import ATTACKS
from bench.fraud.defences import Authgear, BlockLimit, Defence, Undefended
from bench.fraud.play import Limits, Outcome, Play
from bench.fraud.product import PythonRules
from bench.fraud.redis_rules import RedisRules, Servers, connected, new_database
from bench.fraud.scenarios import Setting, World, build, with_flush
from bench.fraud.variants import VARIANTS, Variant
from bench.fraud.world import HOUR, NEVER

Engine = Literal["lua", "python"]
RULES = "fraud rules"
OTHERS = ("limits", "limit per block", "Authgear")
_MICRO = 1e-6
_names = itertools.count()
_warm: dict[tuple[object, ...], tuple[bytes, bytes]] = {}  # states after the warm-up, of this process
_locks: dict[tuple[object, ...], asyncio.Lock] = {}


@dataclass(frozen=True)
class Job:
    """One world and the defences to measure: `others` by name, and the fraud rules in one variant."""

    setting: Setting
    others: tuple[str, ...] = ()
    variant: str = "all rules"
    engine: Engine = "lua"
    flush_after_h: float | None = None


@dataclass
class Figures:
    """The figures of one world under one defence. Shares are of attempts to log in; money is in dollars.

    `lost_by_hour`: money lost since the start of the attack, at the end of each hour. `after_flush`: the part of it
    after Redis lost everything. `guesses`: expected number of codes that the attacker guesses.
    """

    world: str
    setting: dict[str, object]
    defence: str
    engine: str
    requests: int
    sent: int
    lost: float
    detected_s: float | None
    visits: int
    rejected: int
    limited: int
    proofs: int
    unsolved: int
    guesses: float
    reasons: dict[str, int]
    lost_by_hour: list[float] = field(default_factory=list)
    after_flush: float | None = None

    def share(self, count: int) -> float:
        """Return a count of attempts in per cent."""
        return 100 * count / max(1, self.visits)


def run_all(
    jobs: Sequence[Job], urls: Servers, processes: int, at_once: int = 8, saved: Path | None = None
) -> list[Figures]:
    """Run jobs in several processes, each with several worlds at once, which share its connection to Redis.

    Returns the figures in the order of the jobs. `saved`: a file to which the figures of each job are appended; jobs
    whose figures are there are not run again.
    """
    found = _read(saved) if saved and saved.exists() else {}
    missing = [job for job in jobs if repr(job) not in found]
    shares = [missing[first::processes] for first in range(processes)]
    with ProcessPoolExecutor(processes) as pool:
        for share in pool.map(_run_share, shares, *map(itertools.repeat, (urls, at_once, saved))):
            found |= share
    return [figures for job in jobs for figures in found[repr(job)]]


def _read(saved: Path) -> dict[str, list[Figures]]:
    lines = [json.loads(line) for line in saved.read_text().splitlines()]
    return {line["job"]: [Figures(**row) for row in line["figures"]] for line in lines}


def _run_share(jobs: list[Job], urls: Servers, at_once: int, saved: Path | None) -> dict[str, list[Figures]]:
    """Run jobs in this process."""
    return uvloop.run(_run_together(jobs, urls, at_once, saved))


async def _run_together(jobs: list[Job], urls: Servers, at_once: int, saved: Path | None) -> dict[str, list[Figures]]:
    slots = asyncio.Semaphore(at_once)
    async with connected(urls) as redis:

        async def run(job: Job) -> list[Figures]:
            async with slots:
                started = perf_counter()
                found = await run_job(job, urls, redis)
            print(f"{perf_counter() - started:6.1f} s  {found[-1].world}: {found[-1].defence}", file=sys.stderr)
            if saved:
                line = json.dumps({"job": repr(job), "figures": [asdict(row) for row in found]})
                with saved.open("a") as file:
                    file.write(line + "\n")
            return found

        found = await asyncio.gather(*(run(job) for job in jobs))
    return {repr(job): figures for job, figures in zip(jobs, found, strict=True)}


async def run_job(job: Job, urls: Servers, redis: Redis) -> list[Figures]:
    """Measure one world under each defence of a job."""
    world = build(job.setting)
    if job.flush_after_h is not None:
        world = with_flush(world, world.since + job.flush_after_h * HOUR)
    found = []
    for name in job.others:
        outcome = await Play(world, _other(name), Limits(releases=False)).run()
        found.append(_figures(world, job, name, "", outcome))
    variant = VARIANTS[job.variant]
    if job.engine == "python":
        return [*found, await _play_rules(world, job, variant, PythonRules(world, variant.policy))]
    name = f"world_{os.getpid()}_{next(_names)}"
    async with new_database(urls, name) as postgres:
        rules = RedisRules(world, redis, postgres, f"{name}_", variant.policy)
        figures = await _play_rules(world, job, variant, rules)
        await rules.flush(0.0)
    return [*found, figures]


async def _play_rules(world: World, job: Job, variant: Variant, rules: PythonRules | RedisRules) -> Figures:
    for name in ("exempts_known", "limits_known", "trusts_networks", "uses_history"):
        setattr(rules, name, getattr(variant, name))
    play = Play(world, rules, Limits(releases=variant.releases), offers_proofs=variant.offers_proofs)
    name = RULES if job.variant == "all rules" else f"{RULES}, {job.variant}"
    start = await _warm_up(world, job, play, rules)
    return _figures(world, job, name, job.engine, await play.run(start=start))


async def _warm_up(world: World, job: Job, play: Play, rules: PythonRules | RedisRules) -> int:
    """Play the honest requests before an attack, once for all attacks on the same tenants; return their number.

    A flush is played as a whole: a saved state is without the rows of PostgreSQL.
    """
    setting = job.setting
    if setting.event not in ATTACKS or world.flush_at < NEVER:
        return 0
    end = bisect_left(world.requests, world.since, key=lambda request: request.time)
    tenants = len({request.tenant for request in world.requests})
    place = (
        setting.logins,
        setting.home,
        setting.geoip,
        setting.seed,
        setting.warm_up,
        setting.own_networks,
        tenants,
        job.variant,
        job.engine,
    )
    lock = _locks.setdefault(place, asyncio.Lock())
    async with lock:
        if place not in _warm:
            await play.run(end=end)
            _warm[place] = play.save(), await rules.save()
            return end
    of_play, of_rules = _warm[place]
    play.restore(of_play)
    await rules.restore(of_rules)
    return end


def _other(name: str) -> Defence:
    return {"limits": Undefended, "limit per block": BlockLimit, "Authgear": Authgear}[name]()


def _figures(world: World, job: Job, defence: str, engine: str, outcome: Outcome) -> Figures:
    honest, attack = outcome.honest, outcome.attack
    rejected = outcome.first_rejection
    starts_at = min((request.time for request in world.requests if not request.is_honest), default=world.since)
    hours = int((world.requests[-1].time - world.since) / HOUR) + 1 if attack.requests else 0
    by_hour = [0] * hours
    for time, price in outcome.sent_at:
        by_hour[int((time - world.since) / HOUR)] += price
    return Figures(
        world=world.name,
        setting=asdict(job.setting),
        defence=defence,
        engine=engine,
        requests=attack.requests,
        sent=attack.sent,
        lost=round(attack.money * _MICRO, 2),
        detected_s=None if rejected == NEVER else round(rejected - starts_at),
        visits=len(honest.visits),
        rejected=len(honest.rejected),
        limited=len(honest.limited),
        proofs=len(honest.proofs),
        unsolved=len(honest.unsolved),
        guesses=attack.guesses,
        reasons=dict(honest.reasons.most_common()),
        lost_by_hour=[round(total * _MICRO, 2) for total in itertools.accumulate(by_hour)],
        after_flush=_after(outcome, world.flush_at) if world.flush_at < NEVER else None,
    )


def _after(outcome: Outcome, flush_at: float) -> float:
    return round(sum(price for time, price in outcome.sent_at if time >= flush_at) * _MICRO, 2)
