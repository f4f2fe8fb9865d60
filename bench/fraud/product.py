"""The fraud rules of Auth1 as a defence: its own pure functions, under the clock of the requests.

`PythonRules` keeps the states in a dictionary. It serves for sweeps; `redis_rules.py` runs the Lua scripts on Redis.
Both share what a worker keeps beside the states: the codes of each number, the ratios of countries, the blocks that are
loaded at another tenant.
"""

import pickle
from collections import defaultdict
from contextlib import nullcontext
from typing import NamedTuple
from unittest.mock import patch

import msgspec

from auth1.fraud import rules
from auth1.fraud.constants import CROSS_TENANT_S, GUESSING_DECAY_S
from auth1.fraud.policy import FraudPolicy
from auth1.fraud.rules import Decision, Facts, Load, country_ratio, evaluate, guessing_load, is_known
from auth1.fraud.scopes import BLOCKS, DECAY_S, EMPTY, NARROW, Scope, State, decay, send, settle, settle_wide
from bench.fraud.defences import CODE_LIFE, Verdict
from bench.fraud.scenarios import World
from bench.fraud.signals import Signals
from bench.fraud.world import DAY, Request, country_of

BUDGET = 10.0  # dollars, FRAUD_EXPOSURE_BUDGET
REFRESH_S = 10.0  # until other tenants know a loaded block: written behind and read in the background
MICRO = 1e-6

Key = tuple[int, Scope, int, int]  # tenant, scope, country, value


class Sent(NamedTuple):
    """A message of a live code."""

    time: float
    request: Request


class ProductRules:
    """The base class of both engines. `policy` changes rules; the world says whether a GEOIP_FILE is present."""

    name = "fraud rules"
    _not_saved: tuple[str, ...] = ("world", "policy", "_tenants")

    def __init__(self, world: World, policy: FraudPolicy | None = None) -> None:
        self.world = world
        self.policy = policy or FraudPolicy()
        self._signals = Signals(frozenset(self.policy.signals))
        self._seen: tuple[Request | None, tuple[str, ...]] = (None, ())
        self.exempts_known = self.limits_known = self.trusts_networks = self.uses_history = True
        self._tenants = sorted({request.tenant for request in world.requests})
        self._codes: dict[tuple[int, int, int], list[int]] = defaultdict(_zeros)  # answered, unanswered
        self._codes.update({person: [*counts] for person, counts in world.history.items()})
        self._today = 0
        self._hours: dict[tuple[int, int], list[int]] = defaultdict(_zeros)  # sent, verified today
        self._days: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
        self._ratios: dict[tuple[int, int], float | None] = {}

    async def save(self) -> bytes:
        """Return the state, without world and policy."""
        state = {name: value for name, value in vars(self).items() if name not in self._not_saved}
        return pickle.dumps(state)

    async def restore(self, saved: bytes) -> None:
        """Continue from a saved state."""
        vars(self).update(pickle.loads(saved))

    def price(self, request: Request) -> float:
        """Return the price of a message in dollars."""
        return self.world.countries[request.country].price * MICRO

    def ratio(self, request: Request) -> float | None:
        """Return the ratio of a country from the tenant's last days; None without history."""
        self._begin_day(request.time)
        return self._ratios.get((request.tenant, request.country)) if self.uses_history else None

    def is_known(self, request: Request) -> bool:
        """Return whether a number is known, from the counts in its row."""
        counts = self._codes.get(request.person)
        if not self.exempts_known or counts is None:
            return False
        return is_known(answered=counts[0], unanswered=counts[1] if self.limits_known else 0)

    def in_country(self, request: Request) -> bool:
        """Return whether a GEOIP_FILE finds the address in the country of the number."""
        return self.world.geoip and country_of(request.address) == request.country

    def signals(self, request: Request) -> tuple[str, ...]:
        """Return the signals of a request, which is seen once although it may be weighed several times."""
        if self._seen[0] is not request:
            self._seen = request, self._signals.of(request)
        return self._seen[1]

    def facts(self, request: Request, *, proof: bool, known: bool) -> Facts:
        """Return the facts of a request without its scopes."""
        return Facts(
            price=self.price(request),
            ratio=self.ratio(request),
            known=known,
            in_country=self.in_country(request),
            signals=self.signals(request),
            has_proof=proof,
        )

    def count_message(self, request: Request) -> None:
        """Count a message in the row of its number and in the statistics of its country."""
        self._codes[request.person][1] += 1
        self._hours[request.tenant, request.country][0] += 1

    def count_answer(self, request: Request, time: float, messages: int) -> None:
        """Count a right code, which answers the messages of its live code."""
        self._begin_day(time)
        counts = self._codes[request.person]
        counts[0] += 1
        counts[1] = max(0, counts[1] - messages)
        today = self._hours[request.tenant, request.country]
        today[0] -= max(0, messages - 1)
        today[1] += 1
        self._signals.answer(request, time)

    def _begin_day(self, time: float) -> None:
        if (day := int(time // DAY)) == self._today:
            return
        self._today = day
        for place, (sent, verified) in self._hours.items():
            days = self._days[place]
            days.append((sent, verified))
            del days[:-14]
            self._ratios[place] = country_ratio(days)
        self._hours.clear()


class PythonRules(ProductRules):
    """The rules on states in a dictionary."""

    def __init__(self, world: World, policy: FraudPolicy | None = None) -> None:
        super().__init__(world, policy)
        self._states: dict[Key, State] = {}
        self._live: dict[tuple[int, int, int], list[Sent]] = defaultdict(list)
        self._loaded: dict[tuple[Scope, int, int], dict[int, float]] = defaultdict(dict)  # by tenant: since when
        self._guesses: dict[int, State] = defaultdict(State)

    async def decide(self, request: Request, *, proof: bool) -> Verdict:
        keys = scope_keys(request)
        states = {scope: self._states.get(key, EMPTY) for scope, key in keys.items()}
        ratio = self.ratio(request)
        after = send(
            states,
            self.price(request),
            self.policy.ratio if ratio is None else ratio,
            self.policy.price_floor,
            request.time,
        )
        decision, reason, loads = self._evaluate(request, keys, after, proof=proof, known=False)
        if decision != "allow" and self.is_known(request):
            decision, reason, loads = self._evaluate(request, keys, after, proof=proof, known=True)
        for load in loads:
            if load.scope in BLOCKS and load.load > 1:
                block = (load.scope, *keys[load.scope][2:])
                self._loaded[block][request.tenant] = request.time
        if decision == "allow":
            for scope, key in keys.items():
                self._states[key] = after[scope]
            self._add_message(request)
            self.count_message(request)
        guessed = guessing_load(self.policy, self._guesses[request.tenant], request.time)
        digits = 8 if guessed > 1 and self.policy.rules.guessing.mode != "off" else 6
        return Verdict(decision, reason, digits)

    def _evaluate(
        self, request: Request, keys: dict[Scope, Key], after: dict[Scope, State], *, proof: bool, known: bool
    ) -> tuple[Decision, str, tuple[Load, ...]]:
        facts = self.facts(request, proof=proof, known=known).with_states(after)
        if len(self._tenants) > 1:
            facts = msgspec.structs.replace(facts, loaded_elsewhere=self._loaded_elsewhere(request, keys))
        with nullcontext() if self.trusts_networks else patch.object(rules, "TRUST_DIVISOR", 1.0):  # nothing is awaited
            found = evaluate(self.policy, facts, BUDGET)
        return found.decision, found.scope, found.loads

    def _loaded_elsewhere(self, request: Request, keys: dict[Scope, Key]) -> tuple[str, ...]:
        found = []
        for scope in BLOCKS:
            tenants = self._loaded.get((scope, *keys[scope][2:]), {})
            since = request.time - CROSS_TENANT_S
            if any(
                tenant != request.tenant and since < at < request.time - REFRESH_S for tenant, at in tenants.items()
            ):
                found.append(scope)
        return tuple(found)

    def _add_message(self, request: Request) -> None:
        """Add a message to those of the live code of a number: each message extends its life."""
        live = self._live[request.person]
        if live and live[-1].time <= request.time - CODE_LIFE:
            live.clear()
        live.append(Sent(request.time, request))

    async def answer(self, request: Request, time: float, messages: int) -> None:
        live = self._live.pop(request.person, [])
        verified_keys = [key for scope, key in scope_keys(request).items() if scope in NARROW]
        removed: dict[Key, int] = dict.fromkeys(verified_keys, 0)
        for sent in live:
            for scope, key in scope_keys(sent.request).items():
                if scope in NARROW:
                    removed[key] = removed.get(key, 0) + 1
        for key, count in removed.items():
            state = self._states.get(key, EMPTY)
            verified = 1.0 if key in verified_keys else 0.0
            self._states[key] = settle(state, count, verified, DECAY_S[key[1]], time)
        self._settle_wide(request, time, len(live))
        self._guesses[request.tenant] = _add(self._guesses[request.tenant], 0, 1, time)
        self.count_answer(request, time, len(live))

    def _settle_wide(self, request: Request, time: float, messages: int) -> None:
        keys, price, ratio = scope_keys(request), self.price(request), self.ratio(request)
        country, budget = settle_wide(
            self._states.get(keys["country"], EMPTY),
            self._states.get(keys["exposure_budget"], EMPTY),
            messages * price,
            price,
            self.policy.ratio if ratio is None else ratio,
            draws=price >= self.policy.price_floor,
            now=time,
        )
        self._states[keys["country"]], self._states[keys["exposure_budget"]] = country, budget

    async def guess(self, request: Request, time: float) -> None:
        self._guesses[request.tenant] = _add(self._guesses[request.tenant], request.wrong_codes, 0, time)

    async def flush(self, time: float) -> None:
        """Lose the narrow scopes: the wide ones and loaded blocks are restored from PostgreSQL."""
        self._live.clear()
        self._states = {key: state for key, state in self._states.items() if key[1] not in NARROW}


def _zeros() -> list[int]:
    return [0, 0]


def scope_keys(request: Request) -> dict[Scope, Key]:
    """Return the scopes of a request and what each is of."""
    tenant, country = request.tenant, request.country
    return {
        "block_of_1000": (tenant, "block_of_1000", country, request.number // 1000),
        "block_of_10000": (tenant, "block_of_10000", country, request.number // 10_000),
        "address": (tenant, "address", 0, request.address),
        "network": (tenant, "network", 0, request.address >> 8),
        "country": (tenant, "country", country, 0),
        "exposure_budget": (tenant, "exposure_budget", 0, 0),
    }


def _add(state: State, exposure: float, verified: float, now: float) -> State:
    state = decay(state, now, GUESSING_DECAY_S, GUESSING_DECAY_S)
    return State(state.exposure + exposure, state.verified + verified, now)
