"""The exposures of one worker while Redis is unavailable: the arithmetic of the Lua scripts, in this process.

Allowances are divided by the number of workers, and so are the states of the wide scopes that this worker saw last.
Narrow scopes begin empty. N instances allow n times as much meanwhile.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from auth1.fraud.constants import GUESSING_DECAY_S, GUESSING_END
from auth1.fraud.exposures.messages import Message, pack_state
from auth1.fraud.policy import FraudPolicy, FraudRules
from auth1.fraud.rules import Facts, evaluate, guessing_load, ratio_of
from auth1.fraud.scopes import DECAY_S, EMPTY, WIDE, Scope, State, decay, send, settle, settle_wide

MAX_STATES = 15_000

Latest = Callable[[str, str, str], State]  # the latest shared state by tenant, scope, key


class LocalDecision(NamedTuple):
    """The decision about a message, with the states before and after it. `commit` stores those after it."""

    keys: Sequence[str]
    before: dict[Scope, State]
    after: dict[Scope, State]
    is_sent: bool
    load: float
    has_proof: bool

    def stored(self) -> list[bytes | None]:
        """Return the states as Redis would."""
        return [pack_state(state) for state in (self.after if self.is_sent else self.before).values()]


class LocalCopy:
    """The states of this worker, oldest first."""

    def __init__(self, workers: int, latest: Latest) -> None:
        self._workers = workers
        self._latest = latest
        self.states: OrderedDict[str, State] = OrderedDict()

    def decide(
        self, policy: FraudPolicy, facts: Facts, message: Message, exposure_budget: float, now: float
    ) -> LocalDecision:
        """Decide about an SMS, and change no state."""
        policy, budget = share_of(policy, self._workers), exposure_budget / self._workers
        wide = message.wide_key()
        keys = [*message.narrow_keys(), f"{wide}:{message.country_field}", f"{wide}:exposure_budget"]
        names: tuple[Scope, ...] = (*message.scopes, *WIDE)
        before = {name: self._read(key, message, name) for name, key in zip(names, keys, strict=True)}
        after = send(before, message.price, ratio_of(policy, facts.ratio), policy.price_floor, now)
        has_proof = message.proof is not None and message.proof_key() not in self.states
        evaluation = evaluate(policy, facts.with_states(after), budget)
        if has_proof and evaluation.decision == "proof_required":
            evaluation = evaluation._replace(decision="allow")
        load = max((one.load for one in evaluation.loads if one.is_enforced), default=0.0)
        return LocalDecision(keys, before, after, evaluation.decision == "allow", load, has_proof)

    def commit(self, message: Message, decision: LocalDecision) -> None:
        """Store the states after a message, and redeem its proof."""
        for key, state in zip(decision.keys, decision.after.values(), strict=True):
            self._write(key, state)
        if decision.has_proof:
            self._write(message.proof_key(), EMPTY)

    def settle(
        self, message: Message, removed: float, verified: float, dollars: float, ratio: float, floor: float, now: float
    ) -> None:
        """Settle messages of an SMS: how many are removed and verified, and how many dollars are removed."""
        for name, key in zip(message.scopes, message.narrow_keys(), strict=True):
            self._write(key, settle(self._read(key, message, name), removed, verified, DECAY_S[name], now))
        wide = message.wide_key()
        country, budget = f"{wide}:{message.country_field}", f"{wide}:exposure_budget"
        states = settle_wide(
            self._read(country, message, "country"),
            self._read(budget, message, "exposure_budget"),
            dollars,
            verified * message.price,
            ratio,
            draws=message.price >= floor,
            now=now,
        )
        self._write(country, states[0])
        self._write(budget, states[1])

    def count_codes(self, tenant_id: str, right: float, wrong: float, now: float) -> None:
        """Count right and wrong codes of a tenant."""
        key = f"fraud:{{{tenant_id}}}:wide:guessing"
        state = decay(self.states.get(key, EMPTY), now, GUESSING_DECAY_S, GUESSING_DECAY_S)
        self._write(key, State(state.exposure + wrong, state.verified + right, now))

    def is_guessed(self, policy: FraudPolicy, tenant_id: str, now: float) -> bool:
        """Return whether the codes of a tenant are being guessed at this worker: until the load is below a half."""
        key = f"fraud:{{{tenant_id}}}:wide:guessing"
        if policy.rules.guessing.mode == "off" or key not in self.states:
            return False
        load = guessing_load(share_of(policy, self._workers), self.states[key], now)
        if load > 1:
            self._write(f"{key}:began", EMPTY)
        elif load < GUESSING_END:
            self.states.pop(f"{key}:began", None)
        return f"{key}:began" in self.states

    def _read(self, key: str, message: Message, scope: Scope) -> State:
        state = self.states.get(key)
        if state is not None or scope not in WIDE:
            return state or EMPTY
        shared = self._latest(message.tenant_id, scope, message.country_field if scope == "country" else "")
        return State(shared.exposure / self._workers, shared.verified / self._workers, shared.second)

    def _write(self, key: str, state: State) -> None:
        self.states[key] = state
        self.states.move_to_end(key)
        if len(self.states) > MAX_STATES:
            self.states.popitem(last=False)


def share_of(policy: FraudPolicy, workers: int) -> FraudPolicy:
    """Return a policy whose allowances are divided among workers that cannot count together.

    An allowance of a message or more stays at least one: else the first message of everyone would be doubtful.
    """
    if workers == 1:
        return policy
    rules = {
        name: msgspec.structs.replace(rule, allowance=max(rule.allowance / workers, min(1.0, rule.allowance)))
        for name in FraudRules.__struct_fields__
        for rule in [getattr(policy.rules, name)]
    }
    budget = policy.exposure_budget
    return msgspec.structs.replace(
        policy, rules=FraudRules(**rules), exposure_budget=None if budget is None else budget / workers
    )
