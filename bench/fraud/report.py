"""Tables of the figures, in Markdown."""

from collections.abc import Iterable

from bench.fraud.attackers import ATTACKS
from bench.fraud.measure import RULES, Figures
from bench.fraud.plans import Reached


def parts(figures: list[Figures], reached: dict[int, list[Reached]]) -> dict[str, str]:
    """Return the tables by name: the goals of all seeds, other figures of the first one."""
    figures = [row for row in figures if row.setting["seed"] == figures[0].setting["seed"]]
    main = [row for row in figures if "," not in row.defence]
    large = [row for row in main if not is_small(row) and row.after_flush is None] or main
    found = {
        "goals": goals(reached),
        "attacks": attacks([row for row in large if row.setting["solves"]]),
        "honest people": honest(large),
        "proofs": without_proofs(main),
        "flush": flushed(main),
    }
    for name, word in (("rules", "without"), ("signals", "with")):
        changed = [row for row in figures if row.defence.startswith(f"{RULES}, {word} ")]
        found[name] = changes(main, changed) if changed else ""
    return {name: text for name, text in found.items() if text}


def markdown(figures: list[Figures], reached: dict[int, list[Reached]]) -> str:
    """Return all tables."""
    return "\n\n".join(f"## {name}\n\n{text}" for name, text in parts(figures, reached).items()) + "\n"


def is_small(row: Figures) -> bool:
    """Return whether a world only shows what a rule, a signal or a proof changes."""
    return 0 < float(str(row.setting["days"])) < 1


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
                _name(row.world),
                str(row.requests),
                _through(limits),
                _through(block),
                _through(authgear),
                _through(row),
                f"{saved:.1f} %",
                _rejected(authgear),
                _rejected(row),
                f"{row.share(row.proofs):.2f} %",
            ]
        )
    head = ["attack", "requests", "limits", "limit per block", "Authgear", "fraud rules", "saved"]
    return table([*head, "rejected: Authgear", "rejected: rules", "see a proof"], rows)


def honest(figures: list[Figures]) -> str:
    """Return the honest attempts that each defence rejects."""
    rows = []
    for row, others in _worlds(figures, is_attack=False):
        limits, authgear = others.get("limits"), others.get("Authgear")
        proofs = f"{row.share(row.proofs):.2f} %"
        rows.append([_name(row.world), str(row.visits), _rejected(limits), _rejected(authgear), _rejected(row), proofs])
    return table(["event", "attempts", "limits", "Authgear", "fraud rules", "see a proof"], rows)


def without_proofs(figures: list[Figures]) -> str:
    """Return the attacks of those who solve every proof beside those who solve none."""
    solving = {row.world: row for row in figures if row.setting["solves"] and row.defence == RULES}
    rows = []
    for row in figures:
        name = row.world.replace(", no proofs solved", "")
        if not row.setting["solves"] and row.defence == RULES and name in solving:
            other = solving[name]
            rows.append([_name(name), _through(other), _through(row), _rejected(other), _rejected(row)])
    head = ["attack", "solves proofs", "solves none", "rejected: solves proofs", "rejected: solves none"]
    return table(head, rows) if rows else ""


def flushed(figures: list[Figures]) -> str:
    """Return the money lost before and after Redis lost everything."""
    rows = [
        [_name(row.world), f"${row.lost - row.after_flush:.2f}", f"${row.after_flush:.2f}"]
        for row in figures
        if row.after_flush is not None
    ]
    return table(["world", "lost before", "lost after"], rows) if rows else ""


def changes(main: list[Figures], changed: list[Figures]) -> str:
    """Return what differs noticeably with other rules: the loss, the rejected, the proofs, the guesses."""
    places = {(row.world, row.setting["seed"]): row for row in main if row.defence == RULES and row.after_flush is None}
    rows = []
    for row in changed:
        before = places.get((row.world, row.setting["seed"]))
        if before is not None and _differs(before, row):
            cells = [row.defence.partition(", ")[2], _name(row.world), f"{_through(before)} → {_through(row)}"]
            cells += [f"{_rejected(before)} → {_rejected(row)}"]
            cells += [f"{before.share(before.proofs):.2f} → {row.share(row.proofs):.2f} %"]
            rows.append([*cells, f"{before.guesses:.2g} → {row.guesses:.2g}" if row.guesses else ""])
    seen = {row.defence.partition(", ")[2] for row in changed}
    silent = sorted(seen - {cells[0] for cells in rows})
    text = table(["change", "world", "through", "rejected", "see a proof", "guessed"], rows)
    return text + (f"\n\nNo figure changes: {', '.join(silent)}." if silent else "")


def _differs(before: Figures, after: Figures) -> bool:
    lost = abs(after.lost - before.lost) > 0.1 * max(before.lost, 1.0)
    rejected = abs(after.share(after.rejected + after.limited) - before.share(before.rejected + before.limited)) >= 0.05
    proofs = abs(after.share(after.proofs) - before.share(before.proofs)) >= 0.2
    return lost or rejected or proofs or abs(after.guesses - before.guesses) > 0.1 * before.guesses


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


def _name(world: str) -> str:
    """Return the name of a world without what most worlds share."""
    for usual in (", 3000 logins a day", ", home cheap", ", no proofs solved"):
        world = world.replace(usual, "")
    return world.replace("_", " ").replace("GEOIP FILE", "GEOIP_FILE")


def _through(row: Figures | None) -> str:
    return f"{row.sent}, ${row.lost:.2f}" if row else ""


def _rejected(row: Figures | None) -> str:
    return f"{row.share(row.rejected + row.limited):.3f} %" if row else ""
