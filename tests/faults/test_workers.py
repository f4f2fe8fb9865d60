"""Several workers: one that is killed is replaced while the other serves, and the metrics are the sum of all."""

from pathlib import Path

from tests.conftest import new_phone
from tests.faults.conftest import Launcher
from tests.faults.process import START_S, Auth1, until
from tests.outside.twilio import TwilioServer

POOL_SIZE = 20


async def log_in(server: Auth1, carrier: TwilioServer, key: str) -> None:
    phone = new_phone()
    assert (await server.ask(phone, key)).status_code == 200
    assert (await server.answer(phone, carrier.code_for(phone), key)).status_code == 200


async def gauges(server: Auth1) -> dict[str, float]:
    """What is there now, summed over the workers."""
    names = (
        "auth1_redis_up",
        "auth1_postgres_pool_size",
        "auth1_postgres_pool_in_use",
        "auth1_http_requests_in_flight",
    )
    return {name: await server.metric(name) for name in names}


def metrics_directory(server: Auth1) -> Path:
    """Where its workers share their samples: they have mapped the files."""
    maps = Path(f"/proc/{server.workers[0]}/maps").read_text()
    return Path(next(line.split()[-1] for line in maps.splitlines() if "auth1-metrics-" in line)).parent


async def test_metrics_are_summed_over_the_workers_and_stay_right_when_one_is_killed(
    module_launcher: Launcher, carrier: TwilioServer
) -> None:
    async with module_launcher(WORKERS="2") as server:
        key = (await server.tenant())["api_key"]
        first, second = sorted(server.workers)
        expected = {
            "auth1_redis_up": 2.0,
            "auth1_postgres_pool_size": float(POOL_SIZE),  # shared out, and whole again in the sum
            "auth1_postgres_pool_in_use": 0.0,
            "auth1_http_requests_in_flight": 1.0,  # the scrape itself
        }

        async def right() -> bool:
            return await gauges(server) == expected

        await until(right)
        for _ in range(15):
            await log_in(server, carrier, key)
        assert await server.metric("auth1_code_verifications_total", outcome="ok") == 15
        assert await server.metric("auth1_sessions_opened_total") == 15
        scraped = await server.metric("auth1_http_requests_total", route="/api/auth/request", status="200")
        assert scraped == 15

        await server.kill_worker(first)
        # The other serves at once, and what the dead one has counted is not lost.
        key = (await server.tenant())["api_key"]  # another: so many numbers of one block would look like fraud
        for _ in range(10):
            await log_in(server, carrier, key)
        assert second in server.workers
        await until(right, START_S, lambda: f"expected {expected}")
        assert await server.metric("auth1_code_verifications_total", outcome="ok") == 25
        assert await server.metric("auth1_messages_total", provider="twilio", outcome="sent") == 25

        directory = metrics_directory(server)
        server.process.terminate()
        assert await server.exit_code() == 0
        assert not directory.exists()


async def test_while_a_worker_is_replaced_no_request_fails(module_launcher: Launcher, carrier: TwilioServer) -> None:
    async with module_launcher(WORKERS="2") as server:
        key = (await server.tenant())["api_key"]
        [victim, _] = server.workers

        await server.kill_worker(victim)
        for _ in range(15):
            await log_in(server, carrier, key)

        assert len(server.workers) == 2
        assert victim not in server.workers


async def test_a_key_that_is_revoked_at_one_worker_is_refused_by_all(module_launcher: Launcher) -> None:
    async with module_launcher(WORKERS="2") as server:
        tenant = await server.tenant()
        tenants = f"/api/admin/tenants/{tenant['tenant_id']}"
        made = await server.operator("POST", f"{tenants}/keys", {"kind": "pk"})
        key = made.json()["api_key"]
        assert {(await server.ask("+1555", key)).status_code for _ in range(12)} == {422}  # both have seen the key

        revoked = await server.operator("DELETE", f"{tenants}/keys/{made.json()['key_id']}")
        assert revoked.status_code == 204

        async def refused_often() -> bool:
            return {(await server.ask("+1555", key)).status_code for _ in range(12)} == {401}

        took_s = await until(refused_often)
        assert took_s < 30  # the life of a cached key, which would be all that is left without the announcement
