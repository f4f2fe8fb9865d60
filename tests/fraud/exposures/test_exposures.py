"""The service on a real Redis and PostgreSQL: races, loss of Redis, what is written behind, other tenants."""

import asyncio
from collections.abc import Awaitable, Sequence

import asyncpg
import msgspec
import pytest

from auth1.core.postgres import Postgres
from auth1.core.ratelimit import RateLimit
from auth1.errors import Unavailable
from auth1.fraud.exposures.acquire import Exposures
from auth1.fraud.exposures.call import Acquired
from auth1.fraud.exposures.messages import Message, pack_state, read_state
from auth1.fraud.policy import FraudPolicy, FraudRule, FraudRules
from auth1.fraud.scopes import State
from tests.fraud.exposures.conftest import NOON, NewExposures, new_tenant
from tests.support.raw_redis import RawRedis

POLICY = FraudPolicy()
# A country alone decides.
WIDE_ONLY = FraudPolicy(
    rules=msgspec.structs.replace(
        FraudRules(),
        **{name: FraudRule(0, "off") for name in ("block_of_1000", "block_of_10000", "address", "network")},
    )
)


async def at_once(calls: Sequence[Awaitable[Acquired]]) -> list[bool]:
    return [acquired.is_acquired for acquired in await asyncio.gather(*calls)]


def spread(message: Message, n: int) -> Message:
    """Return a message to another block from another network."""
    number = f"+1202{5_550_100 + n * 10_000:07d}"
    return message._replace(number=number, identifier=number, address=f"198.{n // 250}.{n % 250}.1")


# --- races


async def test_50_concurrent_requests_acquire_exactly_the_allowance(
    new_exposures: NewExposures, message: Message
) -> None:
    workers = [await new_exposures() for _ in range(2)]

    calls = [workers[n % 2].acquire(POLICY, message._replace(address=f"198.51.{n}.1")) for n in range(50)]

    assert sum(await at_once(calls)) == 6  # of a block of 1,000


async def test_50_concurrent_requests_spend_exactly_the_exposure_budget(
    new_exposures: NewExposures, message: Message
) -> None:
    workers = [await new_exposures() for _ in range(2)]

    calls = [
        workers[n % 2].acquire(WIDE_ONLY, spread(message, n)._replace(country=f"{n % 5}X", price=0.5), now=NOON)
        for n in range(50)
    ]

    assert sum(await at_once(calls)) == 20  # of $10, $2 in each of five countries


async def test_proof_is_redeemed_once_by_50_concurrent_requests(new_exposures: NewExposures, message: Message) -> None:
    workers = [await new_exposures() for _ in range(2)]
    for _ in range(6):
        assert (await workers[0].acquire(POLICY, message, now=NOON)).is_acquired

    solved = message._replace(proof="5" * 32)
    outcomes = await asyncio.gather(*(workers[n % 2].acquire(POLICY, solved, now=NOON) for n in range(50)))

    assert [one.proof for one in outcomes if one.is_acquired] == ["redeemed"]
    assert {one.proof for one in outcomes if not one.is_acquired} == {"used"}
    assert {one.evaluate().decision for one in outcomes if not one.is_acquired} == {"proof_required"}


async def test_proof_of_a_number_that_may_be_known_is_redeemed_once(
    new_exposures: NewExposures, raw_redis: RawRedis, message: Message
) -> None:
    workers = [await new_exposures() for _ in range(2)]
    assert (await workers[0].acquire(POLICY, message, now=NOON)).is_acquired
    await raw_redis.call("SET", message.narrow_keys()[0], pack_state(State(14, 0, NOON)))  # a load of 2.5, or 1.25

    solved = message._replace(proof="5" * 32)
    outcomes = await asyncio.gather(
        *(workers[n % 2].acquire(POLICY, solved, may_be_known=True, now=NOON) for n in range(50))
    )

    assert [one.proof for one in outcomes if one.is_if_known] == ["redeemed"]
    assert {one.evaluate(known=True).decision for one in outcomes if not one.is_if_known} == {"proof_required"}


async def test_message_to_a_known_number_is_counted_with_its_sends(exposures: Exposures, message: Message) -> None:
    for _ in range(6):
        await exposures.acquire(POLICY, message, now=NOON)
    exposures.settlements.forgiven_later(POLICY, message._replace(number="+12025559999"), now=NOON)  # the addresses
    await exposures.settlements.flush()
    other = message._replace(identifier="+12025550199", number="+12025550199")
    acquired = await exposures.acquire(POLICY, other, may_be_known=True, now=NOON)
    assert acquired.is_if_known

    known = exposures.confirm_known(acquired, now=NOON)
    await exposures.settlements.flush()
    exposures.settlements.verified_later(POLICY, other, now=NOON)
    await exposures.settlements.flush()

    assert known.states["block_of_1000"][:2] == (7, 0)
    states = (await exposures.acquire(POLICY, other._replace(known=True), now=NOON)).states
    assert states["block_of_1000"][:2] == (7, 1)  # the six, and this
    assert states["address"][:2] == (1, 1)


async def test_proof_is_kept_where_nothing_is_acquired(
    exposures: Exposures, raw_redis: RawRedis, message: Message
) -> None:
    solved = message._replace(proof="5" * 32)
    tight = RateLimit("identifier", f"ratelimit:{{{message.tenant_id}}}:a", 1, 60_000)
    assert (await exposures.acquire(POLICY, message, (tight,))).is_acquired
    assert (await exposures.acquire(POLICY, solved, (tight,))).proof == "kept"
    await raw_redis.call("SET", message.narrow_keys()[0], pack_state(State(12, 0, NOON)))

    blocked = await exposures.acquire(POLICY, solved, now=NOON)

    assert (blocked.is_acquired, blocked.proof, blocked.evaluate().decision) == (False, "kept", "block")
    assert (await exposures.acquire(POLICY, spread(solved, 1))).proof == "redeemed"


# --- settlements


async def test_right_code_removes_the_exposure_of_its_own_sends(exposures: Exposures, message: Message) -> None:
    older = message._replace(identifier="+12025550199", number="+12025550199")
    await exposures.acquire(POLICY, older, now=NOON)
    await exposures.acquire(POLICY, message, now=NOON)
    await exposures.acquire(POLICY, message._replace(address="198.51.100.1"), now=NOON)
    exposures.settlements.verified_later(POLICY, message, now=NOON)
    await exposures.settlements.flush()

    states = (await exposures.acquire(POLICY, message, now=NOON)).states

    assert states["block_of_1000"][:2] == (2, 1)  # the older one, and this
    assert states["address"][:2] == (2, 1)  # which the right code came from
    assert states["country"][:2] == pytest.approx((0.10, 0.05))
    other = await exposures.acquire(POLICY, message._replace(address="198.51.100.1"), now=NOON)
    assert other.states["address"][:2] == (1, 0)


async def test_codes_settled_at_once_remove_the_sends_of_each(
    exposures: Exposures, raw_redis: RawRedis, message: Message
) -> None:
    codes = [message._replace(identifier=f"+1202555010{n}", number=f"+1202555010{n}") for n in range(3)]
    for code in codes:
        await exposures.acquire(POLICY, code, now=NOON)
        exposures.settlements.verified_later(POLICY, code, now=NOON)
    await exposures.acquire(POLICY, codes[2]._replace(address="198.51.100.1"), now=NOON)
    await exposures.settlements.flush()

    assert await raw_redis.call("EXISTS", *(code.sends_key() for code in codes)) == 0
    states = (await exposures.acquire(POLICY, message, now=NOON)).states
    assert states["block_of_1000"][:2] == states["address"][:2] == (1, 3)  # 1: this message
    assert states["country"][:2] == pytest.approx((0.05, 0.15))


async def test_right_code_counts_one_send_when_redis_has_lost_the_sends(
    exposures: Exposures, raw_redis: RawRedis, message: Message
) -> None:
    for _ in range(3):
        await exposures.acquire(POLICY, message, now=NOON)
    await raw_redis.call("DEL", message.sends_key())
    exposures.settlements.verified_later(POLICY, message, now=NOON)
    await exposures.settlements.flush()

    assert (await exposures.acquire(POLICY, message, now=NOON)).states["address"][:2] == (3, 1)


async def test_message_that_was_not_sent_is_taken_back(exposures: Exposures, message: Message) -> None:
    await exposures.acquire(POLICY, message, now=NOON)
    await exposures.acquire(POLICY, message, now=NOON)
    exposures.settlements.returned_later(POLICY, message, now=NOON)
    await exposures.settlements.flush()
    exposures.settlements.verified_later(POLICY, message, now=NOON)
    await exposures.settlements.flush()

    states = (await exposures.acquire(POLICY, message, now=NOON)).states

    assert {state[:2] for state in states.values() if state.verified == 1} == {(1, 1)}
    assert states["exposure_budget"].exposure == pytest.approx(0.02)


async def test_forgiven_request_frees_its_scopes(exposures: Exposures, message: Message) -> None:
    for _ in range(6):
        await exposures.acquire(POLICY, message, now=NOON)
    assert not (await exposures.acquire(POLICY, message, now=NOON)).is_acquired
    exposures.settlements.forgiven_later(POLICY, message, now=NOON)
    await exposures.settlements.flush()

    assert (await exposures.acquire(POLICY, message, now=NOON)).states["block_of_1000"][:2] == (1, 0)


async def test_two_workers_see_the_same_risk(new_exposures: NewExposures, message: Message) -> None:
    workers = [await new_exposures() for _ in range(2)]
    for n in range(4):
        await workers[n % 2].acquire(POLICY, message, now=NOON + n)
    workers[1].settlements.verified_later(POLICY, message, now=NOON + 10)
    await workers[1].settlements.flush()
    for n in range(7):
        await workers[n % 2].acquire(POLICY, message._replace(address="198.51.100.1"), now=NOON + 20 + n)

    again = message._replace(address="198.51.100.1")
    risks = [(await worker.acquire(POLICY, again, now=NOON + 40)).evaluate() for worker in workers]

    assert risks[0].decision == "proof_required"
    assert risks[0] == risks[1]


# --- Redis is flushed or evicts


async def test_flushed_redis_restores_the_wide_states(
    new_exposures: NewExposures, raw_redis: RawRedis, message: Message
) -> None:
    """An attack over 60 countries from 400 networks; Redis loses the tenant's keys in the middle."""
    workers = [await new_exposures() for _ in range(2)]

    async def attack(first: int) -> int:
        sent = 0
        for n in range(first, first + 400):
            acquired = await workers[n % 2].acquire(
                POLICY, spread(message, n)._replace(country=f"{n % 60:02d}", price=0.25), now=NOON + n
            )
            sent += acquired.is_acquired
        return sent

    before = await attack(0)
    assert 20 <= before <= 40
    for worker in workers:
        await worker.run_once(NOON)
    keys = await raw_redis.call("KEYS", f"fraud:{{{message.tenant_id}}}:*")
    await raw_redis.call("DEL", *keys)

    again = await attack(400)

    assert again < before / 4


async def test_evicted_wide_hash_is_read_back_once_for_50_requests(
    exposures: Exposures, raw_redis: RawRedis, message: Message
) -> None:
    for n in range(10):
        await exposures.acquire(WIDE_ONLY, spread(message, n), now=NOON)
    await raw_redis.call("DEL", message.wide_key())

    await at_once([exposures.acquire(WIDE_ONLY, spread(message, n), now=NOON) for n in range(50)])

    stored = await raw_redis.call("HGET", message.wide_key(), "US")
    assert read_state(stored).exposure == pytest.approx(60 * 0.05)


async def test_restore_never_replaces_a_newer_state(
    new_exposures: NewExposures, raw_redis: RawRedis, message: Message
) -> None:
    one, other = await new_exposures(), await new_exposures()
    await one.acquire(WIDE_ONLY, message, now=NOON)
    await one.run_once(NOON)
    for _ in range(3):
        await other.acquire(WIDE_ONLY, message, now=NOON + 1)

    await other._restore(message.tenant_id, NOON + 1)

    assert read_state(await raw_redis.call("HGET", message.wide_key(), "US")).exposure == pytest.approx(0.2, abs=1e-5)


async def test_loaded_block_is_restored(new_exposures: NewExposures, raw_redis: RawRedis, message: Message) -> None:
    exposures = await new_exposures()
    for _ in range(6):
        await exposures.acquire(POLICY, message, now=NOON)
    await exposures.run_once(NOON)
    await raw_redis.call("DEL", *await raw_redis.call("KEYS", f"fraud:{{{message.tenant_id}}}:*"))

    acquired = await exposures.acquire(POLICY, message._replace(address="198.51.100.1"), now=NOON)

    assert not acquired.is_acquired
    assert acquired.evaluate().scope == "block_of_1000"


# --- PostgreSQL


async def saved_state(postgres: Postgres, message: Message, exposures: Exposures, scope: str) -> State:
    found = {one.scope: one.state for one in await exposures.saved.find(message.tenant_id, NOON)}
    return found[scope]


async def test_newer_state_wins_when_two_workers_save_at_once(
    new_exposures: NewExposures, postgres: Postgres, message: Message
) -> None:
    workers = [await new_exposures() for _ in range(2)]
    for round_ in range(10):
        for n in range(4):
            await workers[n % 2].acquire(WIDE_ONLY, message, now=NOON + 4 * round_ + n)
        await asyncio.gather(*(worker.saved.save() for worker in workers))

    state = await saved_state(postgres, message, workers[0], "country")
    assert state.second == NOON + 39
    assert state.exposure == pytest.approx(40 * 0.05, rel=1e-3)


async def test_states_are_saved_later_when_postgresql_is_unavailable(
    exposures: Exposures, postgres: Postgres, message: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    from_postgres = postgres.rows

    async def fail(*_: object) -> None:
        raise Unavailable

    await exposures.acquire(WIDE_ONLY, message, now=NOON)
    monkeypatch.setattr(postgres, "rows", fail)
    with pytest.raises(Unavailable):
        await exposures.saved.save()
    monkeypatch.setattr(postgres, "rows", from_postgres)
    await exposures.saved.save()

    assert (await saved_state(postgres, message, exposures, "country")).exposure == pytest.approx(0.05)


async def test_only_blocks_with_a_load_above_a_half_are_saved(exposures: Exposures, message: Message) -> None:
    for _ in range(3):
        await exposures.acquire(POLICY, message, now=NOON)
    assert {one.scope for one in await exposures.saved.find(message.tenant_id, NOON)} == {"country", "exposure_budget"}

    await exposures.acquire(POLICY, message, now=NOON)

    scopes = {one.scope for one in await exposures.saved.find(message.tenant_id, NOON)}
    assert scopes == {"country", "exposure_budget", "block_of_1000"}


# --- other tenants, history


async def test_block_that_is_loaded_at_one_tenant_has_a_small_allowance_at_others(
    new_exposures: NewExposures, message: Message
) -> None:
    first, second = await new_exposures(), await new_exposures()
    number = "+4479" + new_tenant()[-8:].translate(str.maketrans("abcdef", "012345"))
    attacked = message._replace(number=number, identifier=number, country="GB")
    for _ in range(7):
        await first.acquire(POLICY, attacked, now=NOON)
    await first.run_once(NOON)
    await second.run_once(NOON)
    other = attacked._replace(tenant_id=new_tenant())

    sent = [(await second.acquire(POLICY, other, now=NOON)).is_acquired for _ in range(4)]
    own = await second.acquire(POLICY, attacked._replace(address="198.51.100.1"), now=NOON)
    await second.run_once(NOON + 90_000)

    assert sent == [True, True, False, False]
    assert own.elsewhere == ()
    assert second.loaded_blocks.elsewhere(other.tenant_id, other.blocks()) == ()


async def test_ratio_follows_the_history_of_the_country(
    exposures: Exposures, database_url: str, message: Message
) -> None:
    """Three days with 150 messages to 100 people each, 20 of them repeated, and one day with too few."""
    database = await asyncpg.connect(database_url)
    await database.execute(
        "insert into message_hours select $1, date_trunc('day', now(), 'UTC') - d * interval '1 day', 'sms', 'US',"
        " 'twilio', 'sent', -1, case when d = 4 then 60 else 150 end, case when d = 4 then 19 else 100 end, 0, 20"
        " from generate_series(1, 4) as d",
        message.tenant_id,
    )
    await database.execute("update message_hours_next set hour = greatest(hour, date_trunc('day', now(), 'UTC'))")
    await database.close()
    assert exposures.ratio(message.tenant_id, "US") is None

    await exposures.run_once(NOON)

    assert exposures.ratio(message.tenant_id, "US") == pytest.approx(0.45)
    assert exposures.ratio(message.tenant_id, "GB") is None
