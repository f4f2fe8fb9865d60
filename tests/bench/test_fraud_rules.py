"""The fraud rules on simulated attacks: Lua on Redis, the pure functions, and the goals of `just fraud --quick`."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from auth1.core.redis import Redis
from auth1.dev.postgres import PostgresServer
from auth1.dev.redis import RedisServer
from bench.fraud import plans, report
from bench.fraud.measure import Engine, Figures, Job, run_job
from bench.fraud.redis_rules import Servers, connected, create_template
from bench.fraud.scenarios import Setting
from bench.fraud.variants import OFF, WITH_SIGNAL
from bench.fraud.world import DAY
from tests.support.effort import IS_THOROUGH

SMALL = Setting("quiet", logins=200, warm_up=DAY, days=0.1)


@pytest.fixture(scope="module")
async def urls(redis_server: RedisServer, postgres_server: PostgresServer) -> Servers:
    urls = Servers(redis_server.url(), postgres_server.url("postgres"))
    await create_template(urls)
    return urls


@pytest.fixture(scope="module")
async def redis(urls: Servers) -> AsyncIterator[Redis]:
    async with connected(urls) as redis:
        yield redis


@pytest.mark.parametrize("event", ["fake_40%", "lock_out_carrier", "guessing", "own_33%"])
async def test_lua_and_pure_functions_decide_the_same(event: str, urls: Servers, redis: Redis) -> None:
    job = Job(replace(SMALL, event=event, days=0.2 if event == "own_33%" else 0.1))

    of_lua = await run_job(job, urls, redis)
    of_python = await run_job(replace(job, engine="python"), urls, redis)

    assert of_lua[0].requests > 0
    assert of_lua == [replace(figures, engine="lua") for figures in of_python]


async def test_quick_worlds_reach_their_goals(urls: Servers, redis: Redis) -> None:
    figures: list[Figures] = []
    for job in plans.quick("lua", 1):
        # The largest worlds are played by the pure functions, which decide the same, at a sixth of the time.
        is_large = job.setting.event in ("spread", "ten_tenants")
        engine: Engine = "python" if is_large and not IS_THOROUGH else "lua"
        figures += await run_job(replace(job, engine=engine), urls, redis)

    reached = plans.reached(figures, 1, plans.QUICK_GOALS)

    assert len(reached) == len(plans.QUICK_GOALS)
    assert [(one.goal.text, one.reached) for one in reached if not one.holds] == []
    assert "| one block: messages | ≤ 20 |" in report.markdown(figures, {1: reached})


async def test_redis_flush_in_an_attack_repeats_less_than_a_quarter_of_the_loss(urls: Servers, redis: Redis) -> None:
    job = Job(replace(SMALL, event="spread", days=0.3), flush_after_h=3.6)

    figures = (await run_job(job, urls, redis))[0]

    assert figures.after_flush is not None
    before = figures.lost - figures.after_flush
    assert figures.after_flush < before / 4


async def test_each_rule_and_each_signal_has_a_variant(urls: Servers, redis: Redis) -> None:
    setting = replace(SMALL, event="one_block", days=0.02)
    with_all = (await run_job(Job(setting, engine="python"), urls, redis))[0]

    without = (await run_job(Job(setting, variant="without block_of_1000", engine="python"), urls, redis))[0]

    assert with_all.sent <= 12 < without.sent
    assert "without cross_tenant" in OFF
    assert "with sequential_numbers" in WITH_SIGNAL
