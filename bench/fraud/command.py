"""Run the command line: choose the worlds, measure them, write tables, figures and the plot."""

import argparse
import sys
from time import perf_counter

from bench import svg
from bench.fraud import page, plans, report
from bench.fraud.measure import RULES, Engine, Figures, Job, run_all
from bench.fraud.redis_rules import servers
from bench.fraud.variants import OFF


def run(options: argparse.Namespace) -> int:
    """Measure; return 1 where a goal is missed."""
    seeds: list[int] = options.seed or [1]
    engine: Engine = "python" if options.python else "lua"
    jobs = [job for seed in seeds for job in choose(options, engine, seed)]
    started = perf_counter()
    with servers() as urls:
        figures = run_all(jobs, urls, options.processes, saved=options.saved)
    goals = plans.QUICK_GOALS if options.quick else plans.GOALS
    reached = {seed: plans.reached(figures, seed, goals) for seed in seeds}
    text = report.markdown(figures, reached)
    print(text)
    print(f"{len(figures)} measurements in {(perf_counter() - started) / 60:.1f} minutes", file=sys.stderr)
    if options.markdown:
        options.markdown.write_text(text)
    if options.json:
        options.json.write_text(page.as_json(options.constant, figures, reached))
    if options.svg:
        plot(options, figures)
    return int(not all(one.holds for of_seed in reached.values() for one in of_seed))


def choose(options: argparse.Namespace, engine: Engine, seed: int) -> list[Job]:
    """Return the jobs of a seed: all parts for the first one; for others the goals, by the faster pure functions."""
    if options.quick:
        jobs = plans.quick(engine, seed)
    elif seed != (options.seed or [seed])[0]:
        jobs = plans.of_goals("python", seed)
    else:
        parts = {
            "worlds": plans.full(engine, seed),
            "ablation": plans.ablation(OFF, seed),
            "signals": plans.signals(seed),
        }
        jobs = [job for name, part in parts.items() if options.only in (None, name) for job in part]
    return [job for job in jobs if not options.world or job.setting.event in options.world]


def plot(options: argparse.Namespace, figures: list[Figures]) -> None:
    """Plot the money lost by the hour in the attack on 60 countries: all defences, then the two that stop it."""
    name = plans.FLUSHED.setting.name
    rows = {row.defence: row.lost_by_hour for row in figures if row.world == name}
    if RULES not in rows:
        return
    hours = [float(hour + 1) for hour in range(len(rows[RULES]))]
    lines = {defence: [*values, *[values[-1]] * (len(hours) - len(values))] for defence, values in rows.items()}
    panels = {"Dollars lost: 60 countries, 300 requests an hour": lines}
    best = {defence: lines[defence] for defence in ("Authgear", RULES) if defence in lines}
    panels["The same, without the limits"] = best
    svg.write(options.svg, hours, panels, "h")
