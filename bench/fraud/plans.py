"""The worlds of `just fraud`, and the goals that their figures must reach."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from bench.fraud.attackers import ATTACKS
from bench.fraud.measure import OTHERS, RULES, Engine, Figures, Job
from bench.fraud.scenarios import Setting
from bench.fraud.variants import WITH_SIGNAL
from bench.fraud.world import DAY, DEAR_HOME

HONEST = (
    Setting("quiet", 300),
    Setting("quiet"),
    Setting("quiet", home=DEAR_HOME),
    Setting("launch", 300),
    Setting("launch"),
    Setting("launch", home=DEAR_HOME),
    Setting("launch_cold"),
    Setting("launch_cold", home=DEAR_HOME),
    Setting("new_country"),
    Setting("carrier_outage"),
    Setting("carrier_outage", home=DEAR_HOME),
    Setting("company"),
)
SOLVING = tuple(Setting(attack) for attack in ATTACKS)
# Those that are played against all defences.
_COMPARED = (
    *map(Setting, ("one_block", "range_fast", "range_slow", "one_address", "spread", "spread_hosting")),
    Setting("quiet"),
    Setting("launch"),
)
# From the start of an attack: the time in which its goals count honest people.
_LONG = 3.625
SPECIAL = (
    Setting("spread", 300),
    Setting("spread", geoip=True),
    Setting("spread", geoip=True, matching=True),
    Setting("home_random", geoip=True),
    Setting("home_random", home=DEAR_HOME),
    Setting("home_random", home=DEAR_HOME, geoip=True),
    Setting("home_random", home=DEAR_HOME, days=_LONG),
    Setting("home_random", home=DEAR_HOME, days=_LONG, geoip=True),
    Setting("home_random", home=DEAR_HOME, days=_LONG, geoip=True, own_networks=True),
    Setting("home_random", home=DEAR_HOME, solves=False),
    Setting("fake_40%", geoip=True),
)
FLUSH_AFTER_H = 36
FLUSHED = Job(Setting("spread"), flush_after_h=FLUSH_AFTER_H)
# Worlds that show what each rule is for, at a tenant of 300 logins a day.
_LITTLE = Setting("quiet", 300)
_ABLATED = (
    replace(_LITTLE, event="one_block", days=0.02),
    replace(_LITTLE, event="range_fast", days=0.05),
    replace(_LITTLE, event="one_address", days=0.05),
    replace(_LITTLE, event="spread", days=0.4),
    replace(_LITTLE, event="home_random", home=DEAR_HOME, days=0.3),
    replace(_LITTLE, event="fake_40%", days=0.4),
    replace(_LITTLE, event="own_0%", days=0.5),
    replace(_LITTLE, event="lock_out_carrier", days=0.2),
    replace(_LITTLE, event="launch", days=0.2),
)
# Those of one rule or a few, because they take longer or show nothing else.
_ABLATED_ONCE = {
    replace(_LITTLE, event="guessing", days=0.2): ("guessing",),
    replace(_LITTLE, event="ten_tenants", days=0.05): ("cross_tenant", "both blocks"),
    replace(_LITTLE, event="one_network", days=0.1): ("network",),
    replace(_LITTLE, event="home_random", days=0.3): ("price floor",),
    Setting("launch", days=0.2): ("release",),
}
# The attacks that no rule needs above, so that each one is played with and without solving proofs.
_OTHERS = (
    *(replace(_LITTLE, event=event, days=0.9) for event in ("range_slow", "spread_slow")),
    *(replace(_LITTLE, event=event, days=0.4) for event in ("fake_10%", "fake_25%", "own_33%", "own_100%")),
    *(replace(_LITTLE, event=event, days=0.4) for event in ("spread_hosting", "voip_signups", "lock_out_block")),
)
NOT_SOLVING = tuple(
    replace(setting, solves=False) for setting in (*_ABLATED, *_ABLATED_ONCE, *_OTHERS) if setting.event in ATTACKS
)
# Those that show what a signal is worth, and what it costs honest people.
_SIGNALLED = (
    *_ABLATED[:4],
    replace(_LITTLE, event="spread_hosting", days=0.4),
    replace(_LITTLE, event="new_country", days=0.5),
    replace(_LITTLE, event="company"),
)
_SMALL = Setting("quiet", 300, warm_up=DAY)
QUICK = (
    replace(_SMALL, event="launch", days=0.1),
    replace(_SMALL, event="one_block", days=0.02),
    replace(_SMALL, event="range_fast", days=0.03),
    replace(_SMALL, event="spread", days=0.3, geoip=True),
    replace(_SMALL, event="ten_tenants", days=0.02),
    replace(_SMALL, event="guessing", days=0.1),
)


def full(engine: Engine, seed: int) -> list[Job]:
    """Return all worlds. An attacker who solves no proofs is not played against defences that require none."""
    found = [Job(setting, OTHERS if setting in _COMPARED else ("limits",), engine=engine) for setting in SOLVING]
    found += [Job(setting, ("limits",), engine=engine) for setting in SPECIAL]
    found += [Job(setting, OTHERS if setting in _COMPARED else (), engine=engine) for setting in HONEST]
    found += [Job(setting, engine=engine) for setting in (*_OTHERS, *NOT_SOLVING)]
    found.append(replace(FLUSHED, engine=engine))
    return [replace(job, setting=replace(job.setting, seed=seed)) for job in found]


def of_goals(engine: Engine, seed: int) -> list[Job]:
    """Return the worlds of the goals alone, beside the plain limits where a goal compares with them."""
    others: dict[Setting, tuple[str, ...]] = {}
    for goal in GOALS:
        others[goal.setting] = ("limits",) if goal.figure is saved else others.get(goal.setting, ())
    found = [Job(setting, names, engine=engine) for setting, names in others.items()]
    found.append(replace(FLUSHED, engine=engine))
    return [replace(job, setting=replace(job.setting, seed=seed)) for job in found]


def quick(engine: Engine, seed: int) -> list[Job]:
    """Return small worlds, each beside the plain limits."""
    return [Job(replace(setting, seed=seed), ("limits",), engine=engine) for setting in QUICK]


def signals(seed: int) -> list[Job]:
    """Return the worlds that show what a signal is worth, without any and with each; by the pure functions."""
    settings = [replace(setting, seed=seed) for setting in _SIGNALLED]
    return [Job(setting, (), variant, "python") for variant in ("all rules", *WITH_SIGNAL) for setting in settings]


def ablation(variants: Iterable[str], seed: int) -> list[Job]:
    """Return the worlds that show what a rule is for, without each rule; by the pure functions, which are faster."""
    jobs = [(variant, setting) for variant in ("all rules", *variants) for setting in _ABLATED]
    for setting, names in _ABLATED_ONCE.items():
        jobs += [(variant, setting) for variant in ("all rules", *(f"without {name}" for name in names))]
    return [Job(replace(setting, seed=seed), (), variant, "python") for variant, setting in jobs]


@dataclass(frozen=True)
class Goal:
    """A goal: the text, the world that shows it, the figure reached, and its bound.

    The figure compares the fraud rules with the plain limits; that of a flush, with the same attack without a flush.
    """

    text: str
    setting: Setting
    figure: Callable[[Figures, Figures | None], float]
    bound: float | None = None
    at_least: bool = False
    is_flushed: bool = False

    def holds(self, reached: float) -> bool:
        """Return whether a figure reaches the goal; without a bound it is only reported."""
        if self.bound is None:
            return True
        return reached >= self.bound if self.at_least else reached <= self.bound


def _sent(rules: Figures, limits: Figures | None) -> float:
    return rules.sent


def saved(rules: Figures, limits: Figures | None) -> float:
    """Return the money saved against the plain limits in per cent."""
    return 100 * (1 - rules.lost / max(0.01, limits.lost)) if limits else 0.0


def rejected(rules: Figures, limits: Figures | None) -> float:
    """Return the honest attempts that were rejected, the limit of an address included, in per cent."""
    return rules.share(rules.rejected + rules.limited)


def proofs(rules: Figures, limits: Figures | None) -> float:
    """Return the honest attempts that saw a proof in per cent."""
    return rules.share(rules.proofs)


def lost(rules: Figures, limits: Figures | None) -> float:
    """Return the dollars lost."""
    return rules.lost


def guesses(rules: Figures, limits: Figures | None) -> float:
    """Return the codes that the attacker is expected to guess."""
    return rules.guesses


def lost_after_flush(flushed: Figures, spread: Figures | None) -> float:
    """Return the money that the attack cost after Redis lost everything, as a part of what it cost before."""
    after = flushed.after_flush or 0.0
    return after / max(0.01, flushed.lost - after)


def lost_by_flush(flushed: Figures, spread: Figures | None) -> float:
    """Return the part of it that the same attack did not cost without a flush."""
    if spread is None:
        return lost_after_flush(flushed, None)
    after = flushed.after_flush or 0.0
    added = after - (spread.lost - spread.lost_by_hour[FLUSH_AFTER_H - 1])
    return max(0.0, added) / max(0.01, flushed.lost - after)


_DEAR = Setting("home_random", home=DEAR_HOME)
_DEAR_LONG = replace(_DEAR, days=_LONG)
GOALS = (
    Goal("one block: messages", Setting("one_block"), _sent, 20),
    Goal("a range of 10,000 within 6 h: messages", Setting("range_fast"), _sent, 20),
    Goal("a range of 10,000 over five days: messages", Setting("range_slow"), _sent),
    Goal("60 countries, 300 an hour: money saved, %", Setting("spread"), saved, 95, at_least=True),
    Goal("60 countries, 20 an hour: money saved, %", Setting("spread_slow"), saved),
    Goal("40 % of codes answered: money saved, %", Setting("fake_40%"), saved, 95, at_least=True),
    Goal(
        "Redis flushed in that attack: lost by it, part of the first loss",
        FLUSHED.setting,
        lost_by_flush,
        0.25,
        is_flushed=True,
    ),
    Goal(
        "Redis flushed: all that is lost in the next 36 h, part of the first loss",
        FLUSHED.setting,
        lost_after_flush,
        is_flushed=True,
    ),
    Goal("one range over ten tenants: messages", Setting("ten_tenants"), _sent),
    Goal("200 own numbers, no code answered: dollars lost", Setting("own_0%"), lost),
    Goal("launch ×50 with history: rejected, %", Setting("launch"), rejected, 0),
    Goal("launch ×50 with history, dear home: rejected, %", Setting("launch", home=DEAR_HOME), rejected, 0),
    Goal("launch ×50 without history: rejected, %", Setting("launch_cold"), rejected, 0),
    Goal("launch ×50 without history, dear home: rejected, %", Setting("launch_cold", home=DEAR_HOME), rejected, 0),
    Goal("a country that opens: rejected, %", Setting("new_country"), rejected, 0),
    Goal("a carrier that fails for 3 h: rejected, %", Setting("carrier_outage"), rejected, 0),
    Goal("a carrier that fails, dear home: rejected, %", Setting("carrier_outage", home=DEAR_HOME), rejected, 0),
    Goal("60 countries: rejected, %", Setting("spread"), rejected, 0.5),
    Goal("60 countries, GEOIP_FILE: rejected, %", Setting("spread", geoip=True), rejected, 0.1),
    Goal("random numbers, cheap home: rejected, %", Setting("home_random"), rejected, 0.1),
    Goal("random numbers, dear home: rejected, %", _DEAR_LONG, rejected, 2.3),
    Goal("random numbers, dear home, GEOIP_FILE: rejected, %", replace(_DEAR_LONG, geoip=True), rejected, 0.22),
    Goal(
        "the same, people abroad in networks of their own country: rejected, %",
        replace(_DEAR_LONG, geoip=True, own_networks=True),
        rejected,
    ),
    Goal("random numbers, dear home, first 36 h: rejected, %", _DEAR, rejected),
    Goal("random numbers, dear home, first 36 h, GEOIP_FILE: rejected, %", replace(_DEAR, geoip=True), rejected),
    Goal("60 countries: see a proof, %", Setting("spread"), proofs, 2.5),
    Goal("random numbers, dear home: see a proof, %", _DEAR_LONG, proofs, 2.5),
    Goal("random numbers, dear home, first 36 h: see a proof, %", _DEAR, proofs),
    Goal("random numbers, cheap home: see a proof, %", Setting("home_random"), proofs, 22),
    Goal("guessing: codes guessed in a day", Setting("guessing"), guesses),
)


QUICK_GOALS = (
    Goal("launch ×50: rejected, %", QUICK[0], rejected, 0),
    Goal("launch ×50: see a proof, %", QUICK[0], proofs, 2.5),
    Goal("one block: messages", QUICK[1], _sent, 20),
    Goal("a range of 10,000: messages", QUICK[2], _sent, 20),
    Goal("60 countries: money saved, %", QUICK[3], saved, 95, at_least=True),
    Goal("60 countries: rejected, %", QUICK[3], rejected, 1),
    Goal("one range over ten tenants: messages", QUICK[4], _sent, 80),
    Goal("guessing: codes guessed", QUICK[5], guesses, 0.0005),
)


@dataclass(frozen=True)
class Reached:
    """A goal and the figure that was reached."""

    goal: Goal
    reached: float

    @property
    def holds(self) -> bool:
        return self.goal.holds(self.reached)


def reached(figures: list[Figures], seed: int, goals: Sequence[Goal] = GOALS) -> list[Reached]:
    """Return the goals whose worlds were measured, each with its figure."""
    found = []
    rows = [row for row in figures if row.setting["seed"] == seed]
    places = {(row.world, row.defence): row for row in rows if row.after_flush is None}
    flushed = {row.world.removesuffix(", Redis flushed"): row for row in rows if row.after_flush is not None}
    for goal in goals:
        name = goal.setting.name
        rules = places.get((name, RULES))
        if goal.is_flushed:
            rules, beside = flushed.get(name), rules
        else:
            beside = places.get((name, "limits"))
        if rules:
            found.append(Reached(goal, goal.figure(rules, beside)))
    return found
