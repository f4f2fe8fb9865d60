"""Tables of the figures, in Markdown."""

from collections.abc import Iterable

from bench.fraud.attackers import ATTACKS
from bench.fraud.measure import RULES, Figures
from bench.fraud.plans import Reached


def markdown(figures: list[Figures], reached: dict[int, list[Reached]]) -> str:
    """Return all tables."""
    main = [row for row in figures if "," not in row.defence]
    parts = [
        "## Goals\n\n" + goals(reached),
        "## Attacks\n\n" + attacks(main),
        "## Honest people\n\n" + honest(main),
    ]
    if any(row.after_flush is not None for row in main):
        parts.append("## Redis flushed\n\n" + flushed(main))
    for word, title in (("without", "Each rule off"), ("with", "Each signal")):
        if changed := [row for row in figures if row.defence.startswith(f"{RULES}, {word} ")]:
            parts.append(f"## {title}\n\n" + changes(main, changed))
    return "\n\n".join(parts) + "\n"


def table(head: list[str], rows: Iterable[list[str]]) -> str:
    """Return a table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def goals(reached: dict[int, list[Reached]]) -> str:
    """Return each goal with the figure of each seed."""
    rows = []
    for place, one in enumerate(next(iter(reached.values()), [])):
        values = [of_seed[place].reached for of_seed in reached.values()]
        sign = "≥" if one.goal.at_least else "≤"
        bound = "report" if one.goal.bound is None else f"{sign} {one.goal.bound:g}"
        holds = all(of_seed[place].holds for of_seed in reached.values())
        rows.append([one.goal.text, bound, " · ".join(number(value) for value in values), "yes" if holds else "**no**"])
    return table(["goal", "bound", "reached", "holds"], rows)


def number(value: float) -> str:
    """Format a figure with three significant digits, and whole numbers as such."""
    return f"{value:.0f}" if value == int(value) or value >= 1000 else f"{value:.3g}"


def attacks(figures: list[Figures]) -> str:
    """Return messages through and dollars lost for each attack and defence, and what honest people see."""
    rows = []
    for row, others in _worlds(figures, is_attack=True):
        limits, block, authgear = (others.get(name) for name in ("limits", "limit per block", "Authgear"))
        saved = 100 * (1 - row.lost / limits.lost) if limits and limits.lost else 0.0
        rows.append(
            [
                row.world,
                str(row.requests),
                _through(limits),
                _through(block),
                _through(authgear),
                _through(row),
                f"{saved:.1f} %",
                _refused(authgear),
                _refused(row),
                f"{row.share(row.proofs):.2f} %",
            ]
        )
    head = ["attack", "requests", "limits", "limit per block", "Authgear", "fraud rules", "saved"]
    return table([*head, "refused: Authgear", "refused: rules", "see a proof"], rows)


def honest(figures: list[Figures]) -> str:
    """Return the honest attempts that each defence refuses."""
    rows = []
    for row, others in _worlds(figures, is_attack=False):
        limits, authgear = others.get("limits"), others.get("Authgear")
        proofs = f"{row.share(row.proofs):.2f} %"
        rows.append([row.world, str(row.visits), _refused(limits), _refused(authgear), _refused(row), proofs])
    return table(["event", "attempts", "limits", "Authgear", "fraud rules", "see a proof"], rows)


def flushed(figures: list[Figures]) -> str:
    """Return the money lost before and after Redis lost everything."""
    rows = [
        [row.world, f"${row.lost - row.after_flush:.2f}", f"${row.after_flush:.2f}"]
        for row in figures
        if row.after_flush is not None
    ]
    return table(["world", "lost before", "lost after"], rows)


def changes(main: list[Figures], changed: list[Figures]) -> str:
    """Return what differs noticeably with other rules: the loss, the refused, the proofs, the guesses."""
    places = {(row.world, row.setting["seed"]): row for row in main if row.defence == RULES and row.after_flush is None}
    rows = []
    for row in changed:
        before = places.get((row.world, row.setting["seed"]))
        if before is not None and _differs(before, row):
            cells = [row.defence.partition(", ")[2], row.world, f"{_through(before)} → {_through(row)}"]
            cells += [f"{_refused(before)} → {_refused(row)}"]
            cells += [f"{before.share(before.proofs):.2f} → {row.share(row.proofs):.2f} %"]
            rows.append([*cells, f"{before.guesses:.3f} → {row.guesses:.3f}" if row.guesses else ""])
    seen = {row.defence.partition(", ")[2] for row in changed}
    silent = sorted(seen - {cells[0] for cells in rows})
    text = table(["change", "world", "through", "refused", "see a proof", "guessed"], rows)
    return text + (f"\n\nNo figure changes: {', '.join(silent)}." if silent else "")


def _differs(before: Figures, after: Figures) -> bool:
    lost = abs(after.lost - before.lost) > 0.1 * max(before.lost, 1.0)
    refused = abs(after.share(after.refused + after.limited) - before.share(before.refused + before.limited)) >= 0.05
    proofs = abs(after.share(after.proofs) - before.share(before.proofs)) >= 0.2
    return lost or refused or proofs or abs(after.guesses - before.guesses) > 0.001


def _worlds(figures: list[Figures], *, is_attack: bool) -> Iterable[tuple[Figures, dict[str, Figures]]]:
    seen = set()
    for row in figures:
        seed = row.setting["seed"]
        if (row.world, seed) in seen or row.defence != RULES or row.after_flush is not None:
            continue
        if (str(row.setting["event"]) in ATTACKS) == is_attack:
            seen.add((row.world, seed))
            others = {one.defence: one for one in figures if one.world == row.world and one.setting["seed"] == seed}
            yield row, others


def _through(row: Figures | None) -> str:
    return f"{row.sent}, ${row.lost:.2f}" if row else ""


def _refused(row: Figures | None) -> str:
    return f"{row.share(row.refused + row.limited):.3f} %" if row else ""
