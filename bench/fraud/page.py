"""The page docs/fraud-measurements.md: its tables come from results.json, and a test compares them.

python -m bench.fraud.page        write the tables of the page again
"""

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.fraud import report
from bench.fraud.measure import Figures
from bench.fraud.plans import Goal, Reached, saved
from bench.fraud.scenarios import Setting

DOCS = Path(__file__).parents[2] / "docs"
PAGE, RESULTS = DOCS / "fraud-measurements.md", DOCS / "fraud-measurements/results.json"
_SETTING = ("event", "seed", "logins", "days", "solves")
_TABLE = re.compile(r"(<!-- table: ([a-z ]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def as_json(constants: list[str], figures: list[Figures], reached: dict[int, list[Reached]]) -> str:
    """Return all figures, one measurement on each line."""
    rows = [json.dumps(_compact(row)) for row in figures]
    goals = [json.dumps(_goal(seed, one)) for seed, of_seed in reached.items() for one in of_seed]
    head = json.dumps({"constants": constants, "seeds": sorted(reached)})
    return f'{{"run": {head},\n"goals": [\n' + ",\n".join(goals) + '],\n"measurements": [\n' + ",\n".join(rows) + "]}\n"


def read_json(text: str) -> tuple[list[Figures], dict[int, list[Reached]]]:
    """Return the figures and the goals of `as_json`."""
    found = json.loads(text)
    empty: dict[str, Any] = {"detected_s": None, "reasons": {}, "engine": ""}
    figures = [
        Figures(**{"setting": {name: row.pop(name) for name in _SETTING}, **empty, **row})
        for row in found["measurements"]
    ]
    reached: dict[int, list[Reached]] = {}
    for one in found["goals"]:
        goal = Goal(one["goal"], Setting(""), saved, one["bound"], one["at_least"])
        reached.setdefault(one["seed"], []).append(Reached(goal, one["reached"]))
    return figures, reached


def with_tables(text: str, results: str) -> str:
    """Return a page with the tables of results in place of its own."""
    tables = report.parts(*read_json(results))
    return _TABLE.sub(lambda match: f"{match[1]}{tables[match[2]]}\n{match[3]}", text)


def _compact(row: Figures) -> dict[str, Any]:
    """Return the figures of a measurement without its hours."""
    found = asdict(row)
    setting = found.pop("setting")
    del found["lost_by_hour"]
    kept = {name: value for name, value in found.items() if value not in (None, {}, "")}
    return {name: setting[name] for name in _SETTING} | kept


def _goal(seed: int, one: Reached) -> dict[str, Any]:
    return {
        "seed": seed,
        "goal": one.goal.text,
        "reached": one.reached,
        "bound": one.goal.bound,
        "at_least": one.goal.at_least,
        "holds": one.holds,
    }


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(), RESULTS.read_text()))
