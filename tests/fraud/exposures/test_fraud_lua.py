"""The Lua scripts equal the rules: on random histories with an injected clock, and at their boundaries."""

import math
import struct
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auth1.core.ratelimit import RateLimit
from auth1.core.redis import Redis
from auth1.fraud.constants import LARGEST
from auth1.fraud.exposures.acquire import Exposures
from auth1.fraud.exposures.call import Acquired
from auth1.fraud.exposures.messages import Message, pack_state
from auth1.fraud.policy import FraudPolicy, FraudRule, FraudRules
from auth1.fraud.rules import Facts, evaluate, guessing_load, ratio_of
from auth1.fraud.scopes import DECAY_S, EMPTY, NARROW, WIDE, Scope, State, decay, send, settle, settle_wide
from tests.fraud.exposures.conftest import BUDGET, NOON, new_tenant
from tests.support.raw_redis import RawRedis

POLICY = FraudPolicy()

POLICIES = (
    POLICY,
    FraudPolicy(exposure_budget=0.5, ratio=0.3, channels=("email",)),
    FraudPolicy(price_floor=0.06),
    FraudPolicy(mode="shadow"),
    FraudPolicy(
        rules=msgspec.structs.replace(
            FraudRules(), address=FraudRule(2, "shadow"), country=FraudRule(0, "off"), network=FraudRule(3)
        )
    ),
    FraudPolicy(signals={"datacenter": 0.4, "tor": 1.2}),
)
ADDRESSES = (None, "203.0.113.7", "203.0.113.8", "198.51.100.1", "2001:db8::1")
NUMBERS = ("+12025550100", "+12025550101", "+12025551100", "+447700900123")


class Oracle:
    """The states of a tenant by key, kept with the pure functions."""

    def __init__(self, policy: FraudPolicy) -> None:
        self.policy = policy
        self.states: dict[str, State] = {}
        self.sent: dict[str, list[Message]] = {}

    def keys(self, message: Message) -> dict[Scope, str]:
        names: tuple[Scope, ...] = (*message.scopes, *WIDE)
        keys = [*message.narrow_keys(), message.country_field, "exposure_budget"]
        return dict(zip(names, keys, strict=True))

    def acquire(self, message: Message, now: float) -> tuple[bool, Facts]:
        keys = self.keys(message)
        before = {name: self.states.get(key, EMPTY) for name, key in keys.items()}
        after = send(before, message.price, self.policy.ratio, self.policy.price_floor, now)
        facts = Facts(
            price=message.price,
            known=message.known,
            in_country=message.in_country,
            signals=message.signals,
            minimum=message.minimum,
        ).with_states(after)
        is_sent = evaluate(self.policy, facts, BUDGET).decision == "allow"
        if is_sent:
            self.states |= {key: after[name] for name, key in keys.items()}
            self.sent.setdefault(message.identifier, []).append(message)
        return is_sent, facts

    def settle(self, message: Message, *, is_verified: bool, now: float) -> None:
        """Settle a right code, or take one message back."""
        sent = self.sent.pop(message.identifier, []) if is_verified else [message]
        if not is_verified and message.identifier in self.sent:
            same = [one for one in self.sent[message.identifier] if one.entry() == message.entry()]
            if same:
                self.sent[message.identifier].remove(same[0])
        verified, sent = float(is_verified), sent or [message]
        removed: dict[str, list[Any]] = {}
        for one in sent:
            for name, key in zip(one.scopes, one.narrow_keys(), strict=True):
                removed.setdefault(key, [0.0, 0.0, DECAY_S[name]])[0] += 1
        for name, key in zip(message.scopes, message.narrow_keys(), strict=True):
            removed.setdefault(key, [0.0, 0.0, DECAY_S[name]])[1] = verified
        for key, (count, credit, decay_s) in removed.items():
            self.states[key] = settle(self.states.get(key, EMPTY), count, credit, decay_s, now)
        country, budget = message.country_field, "exposure_budget"
        self.states[country], self.states[budget] = settle_wide(
            self.states.get(country, EMPTY),
            self.states.get(budget, EMPTY),
            sum(one.price for one in sent),
            verified * sent[-1].price,
            ratio_of(self.policy, None),
            draws=sent[-1].price >= self.policy.price_floor,
            now=now,
        )


messages = st.builds(
    lambda number, address, price, known, in_country, signals, minimum: Message(
        "",
        number,
        number,
        "GB" if number.startswith("+44") else "US",
        price,
        address,
        known,
        in_country,
        signals,
        minimum,
    ),
    st.sampled_from(NUMBERS),
    st.sampled_from(ADDRESSES),
    st.sampled_from([0.0, 0.008, 0.05, 0.3]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([(), (), ("datacenter",), ("datacenter", "tor")]),
    st.sampled_from([0.0, 0.0, 0.0, 1.5, 3.0]),
)
steps = st.lists(
    st.tuples(
        st.sampled_from(["send", "send", "find out", "verify", "return"]),
        messages,
        st.one_of(st.just(0.0), st.floats(0, 60), st.floats(0, 200_000), st.just(-300.0)),
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=60, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(POLICIES), steps)
async def test_scripts_equal_the_rules_on_random_histories(
    exposures: Exposures, policy: FraudPolicy, steps: list[tuple[str, Message, float]]
) -> None:
    tenant_id, oracle, now = new_tenant(), Oracle(policy), NOON
    for kind, drawn, pause in steps:
        message = drawn._replace(tenant_id=tenant_id)
        now = round(now + pause, 3)
        if kind == "find out":  # whether the number is known, after the message is acquired
            await send_and_find_out(exposures, oracle, policy, message, now)
        elif kind == "send":
            acquired = await exposures.acquire(policy, message, now=now)
            is_sent, facts = oracle.acquire(message, now)
            assert acquired.is_acquired == is_sent
            assert acquired.evaluate().decision == evaluate(policy, facts, BUDGET).decision
            for name, figures in facts.scopes.items():
                assert acquired.facts.scopes[name] == pytest.approx(figures, rel=1e-9, abs=1e-12), name
            enforced = [load.load for load in evaluate(policy, facts, BUDGET).loads if load.is_enforced]
            assert acquired.load == pytest.approx(min(max(enforced, default=0), 1e6), abs=1e-5)
        else:
            later = exposures.settlements.verified_later if kind == "verify" else exposures.settlements.returned_later
            later(policy, message, now=now)
            await exposures.settlements.flush()
            oracle.settle(message, is_verified=kind == "verify", now=now)


async def send_and_find_out(
    exposures: Exposures, oracle: Oracle, policy: FraudPolicy, message: Message, now: float
) -> None:
    """Acquire a message as `check_request` does; it equals one that is weighed again as that of a known number."""
    is_known, message = message.known, message._replace(known=False)
    acquired = await exposures.acquire(policy, message, may_be_known=True, now=now)
    is_sent, facts = oracle.acquire(message, now)
    assert acquired.is_acquired == is_sent
    assert acquired.evaluate().decision == evaluate(policy, facts, BUDGET).decision
    if not is_sent:
        as_known = evaluate(policy, msgspec.structs.replace(facts, known=True), BUDGET)
        assert acquired.is_if_known == (as_known.decision == "allow")
        if acquired.is_if_known and is_known:
            oracle.acquire(message._replace(known=True), now)
            acquired = exposures.confirm_known(acquired, now=now)
            assert (acquired.is_acquired, acquired.evaluate()) == (True, as_known)
    await exposures.settlements.flush()


async def load_of(exposures: Exposures, message: Message, now: float = NOON) -> Acquired:
    return await exposures.acquire(POLICY, message, now=now)


async def set_state(raw_redis: RawRedis, key: str, *state: float) -> None:
    await raw_redis.call("SET", key, struct.pack("<3d", *state))


@pytest.mark.parametrize("scope", NARROW)
async def test_narrow_scope_admits_exactly_its_allowance(
    exposures: Exposures, raw_redis: RawRedis, message: Message, scope: Scope
) -> None:
    key = message.narrow_keys()[NARROW.index(scope)]
    allowance = getattr(FraudRules(), scope).allowance
    await set_state(raw_redis, key, allowance - 1 + 1e-9, 0, NOON)
    assert not (await load_of(exposures, message)).is_acquired
    await set_state(raw_redis, key, allowance - 1, 0, NOON)
    assert (await load_of(exposures, message)).is_acquired
    rejected = await load_of(exposures, message)
    assert not rejected.is_acquired
    assert rejected.evaluate().decision == "proof_required"
    assert rejected.evaluate().scope == scope


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"x",
        b"x" * 24,
        b"9" * 10_000,
        struct.pack("<3d", math.nan, 0, NOON),
        struct.pack("<3d", 0, math.nan, NOON),
        struct.pack("<3d", 0, 0, math.nan),
        struct.pack("<3d", math.inf, math.inf, math.inf),
        struct.pack("<3d", -1, 0, NOON),
        struct.pack("<3d", 1e300, 1e300, NOON),
        struct.pack("<3d", LARGEST, LARGEST, NOON),
        struct.pack("<3d", 1, 1, 1e300),
        struct.pack("<3d", 1, 1, -1e300),
    ],
)
async def test_garbage_in_redis_is_read_as_empty(
    exposures: Exposures, raw_redis: RawRedis, message: Message, garbage: bytes
) -> None:
    for key in (*message.narrow_keys(), message.sends_key()):
        await raw_redis.call("SET", key, garbage)
    for field in ("US", "exposure_budget", "guessing", "guessed", "loaded"):
        await raw_redis.call("HSET", message.wide_key(), field, garbage)

    acquired = await load_of(exposures, message)
    acquired.evaluate()
    exposures.settlements.verified_later(POLICY, message, now=NOON)
    exposures.settlements.wrong_code_later(POLICY, message.tenant_id, now=NOON)
    await exposures.settlements.flush()
    await exposures.run_once(NOON)
    assert (await load_of(exposures, message._replace(number="+12025559999"))).is_acquired


@pytest.mark.parametrize("kind", ["list", "hash"])
async def test_key_of_another_type_fails_no_request(
    exposures: Exposures, raw_redis: RawRedis, message: Message, kind: str
) -> None:
    add = {"list": ("LPUSH", "x"), "hash": ("HSET", "x", "y")}[kind]
    for key in (*message.narrow_keys(), message.sends_key(), *([message.wide_key()] if kind == "list" else [])):
        await raw_redis.call(add[0], key, *add[1:])

    assert (await load_of(exposures, message)).is_acquired


async def test_rate_limits_and_scopes_are_acquired_together_or_not_at_all(
    exposures: Exposures, raw_redis: RawRedis, message: Message
) -> None:
    tag = f"ratelimit:{{{message.tenant_id}}}"
    tight, wide = RateLimit("identifier", f"{tag}:a", 1, 60_000), RateLimit("tenant", f"{tag}:b", 100, 60_000)

    first = await exposures.acquire(POLICY, message, (wide, tight))
    assert first.is_acquired
    assert [one.remaining for one in first.limits.remaining] == [99, 0]

    limited = await exposures.acquire(POLICY, message, (wide, tight))
    assert not limited.is_acquired
    assert limited.limits.limited_by == tight
    third = await exposures.acquire(POLICY, message, (wide,))
    assert third.limits.remaining[0].remaining == 98
    assert third.facts.scopes["address"][0] == pytest.approx(2, abs=1e-3)

    await set_state(raw_redis, message.narrow_keys()[0], 100, 0, 4e9)
    assert not (await exposures.acquire(POLICY, message, (wide,))).is_acquired
    assert (await exposures.acquire(POLICY, message._replace(number=None), (wide,))).limits.remaining[0].remaining == 97


async def test_request_without_an_address_has_no_scope_of_addresses(
    exposures: Exposures, raw_redis: RawRedis, message: Message
) -> None:
    acquired = await load_of(exposures, message._replace(address=None))

    assert set(acquired.facts.scopes) == {"block_of_1000", "block_of_10000", "country", "exposure_budget"}
    keys = await raw_redis.call("KEYS", f"fraud:{{{message.tenant_id}}}:*")
    assert not [key for key in keys if b"address" in key or b"network" in key]


async def test_every_key_of_a_request_expires(exposures: Exposures, raw_redis: RawRedis, message: Message) -> None:
    await load_of(exposures, message._replace(proof="p" * 32))

    keys = await raw_redis.call("KEYS", f"fraud:{{{message.tenant_id}}}:*")
    assert len(keys) == 7
    assert all([await raw_redis.call("TTL", key) > 0 for key in keys])


async def test_guessing_begins_above_its_allowance_and_ends_below_a_half(
    exposures: Exposures, message: Message
) -> None:
    for _ in range(60):
        exposures.settlements.wrong_code_later(POLICY, message.tenant_id, now=NOON)
    await exposures.settlements.flush()
    assert not (await load_of(exposures, message)).is_guessed

    exposures.settlements.wrong_code_later(POLICY, message.tenant_id, now=NOON)
    await exposures.settlements.flush()
    assert (await load_of(exposures, message)).is_guessed
    assert [change.began for change in exposures.settlements.guessing_changes] == [True]

    half = NOON + 3600 * math.log(61 / 30)
    assert guessing_load(POLICY, State(61, 0, NOON), half) == pytest.approx(0.5)
    assert (await load_of(exposures, message, half - 1)).is_guessed
    ended = await load_of(exposures, message, half + 1)
    assert (ended.is_guessed, ended.guessing_ended) == (False, True)
    assert not (await load_of(exposures, message, half + 1)).guessing_ended


async def test_right_codes_end_guessing(exposures: Exposures, message: Message) -> None:
    email = message._replace(number=None, identifier="a@b.co")
    for _ in range(61):
        exposures.settlements.wrong_code_later(POLICY, message.tenant_id, now=NOON)
    await exposures.settlements.flush()
    for _ in range(130):
        exposures.settlements.verified_later(POLICY, email, now=NOON)
    await exposures.settlements.flush()

    assert [change.began for change in exposures.settlements.guessing_changes] == [True, False]
    assert not (await exposures.acquire(POLICY, email, now=NOON)).is_guessed


async def test_clock_that_goes_back_keeps_exposures(exposures: Exposures, message: Message) -> None:
    for _ in range(5):
        await load_of(exposures, message)

    back = await load_of(exposures, message, NOON - 600)

    assert back.facts.scopes["address"][0] == 6
    assert (await load_of(exposures, message, NOON - 600)).load > 1


async def test_state_decays_in_redis_as_in_the_rules(
    exposures: Exposures, raw_redis: RawRedis, message: Message
) -> None:
    await set_state(raw_redis, message.narrow_keys()[0], 5, 3, NOON)

    acquired = await load_of(exposures, message, NOON + 86_400)

    expected = decay(State(5, 3, NOON), NOON + 86_400, DECAY_S["block_of_1000"])
    assert acquired.states["block_of_1000"] == pytest.approx(
        (expected.exposure + 1, expected.verified, expected.second)
    )


async def test_state_is_24_bytes(redis: Redis) -> None:
    assert len(pack_state(State(1, 2, NOON))) == 24
