"""Several workers: a killed worker is replaced while the other serves, and metrics are summed."""

import os
import signal
from pathlib import Path

from auth1.authn.tenants import LIFE_S as CACHE_S
from auth1.dev.redis import RedisServer
from tests.conftest import new_phone
from tests.faults.conftest import Launcher
from tests.support.process import START_S, Auth1, until
from tests.support.providers.twilio import TwilioServer

POOL_SIZE = 20


async def log_in(server: Auth1, carrier: TwilioServer, key: str) -> None:
    phone = new_phone()
    assert (await server.ask(phone, key)).status_code == 200
    assert (await server.answer(phone, carrier.code_for(phone), key)).status_code == 200


async def gauges(server: Auth1) -> dict[str, float]:
    """Return the gauges, summed over the workers."""
    names = (
        "auth1_redis_up",
        "auth1_postgres_pool_size",
        "auth1_postgres_pool_in_use",
        "auth1_http_requests_in_flight",
    )
    return {name: await server.metric(name) for name in names}


def metrics_directory(server: Auth1) -> Path:
    """Return the directory where workers share their samples."""
    maps = Path(f"/proc/{server.workers[0]}/maps").read_text()
    return Path(next(line.split()[-1] for line in maps.splitlines() if "auth1-metrics-" in line)).parent


async def test_metrics_are_summed_over_workers_including_killed_ones(
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
        # The counts of the killed worker are kept, and its gauges are removed.
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


async def test_no_request_fails_while_a_worker_is_replaced(module_launcher: Launcher, carrier: TwilioServer) -> None:
    async with module_launcher(WORKERS="2") as server:
        key = (await server.tenant())["api_key"]
        victim, other = server.workers

        os.kill(victim, signal.SIGKILL)
        await until(lambda: victim not in server.workers)
        for _ in range(15):
            await log_in(server, carrier, key)

        await until(lambda: len(server.workers) == 2 and victim not in server.workers, explain=server.text)
        assert other in server.workers


async def make_key(server: Auth1) -> tuple[str, str]:
    """Return a key that the workers have cached, and its operator path."""
    tenant = await server.tenant()
    keys = f"/api/admin/tenants/{tenant['tenant_id']}/keys"
    made = (await server.operator("POST", keys, {"kind": "pk"})).json()
    assert await answers_often(server, made["api_key"]) == {422}
    return made["api_key"], f"{keys}/{made['key_id']}"


async def answers_often(server: Auth1, key: str) -> set[int]:
    """Return the responses of all workers to an invalid request."""
    return {(await server.ask("none", key)).status_code for _ in range(12)}


async def rejected_by_all(server: Auth1, key: str) -> bool:
    return await answers_often(server, key) == {401}


async def test_revoked_key_is_rejected_by_all_workers(module_launcher: Launcher) -> None:
    async with module_launcher(WORKERS="2") as server:
        key, path = await make_key(server)

        assert (await server.operator("DELETE", path)).status_code == 204

        assert await until(lambda: rejected_by_all(server, key)) < CACHE_S / 2


async def test_key_revoked_without_redis_is_rejected_when_redis_recovers(
    module_launcher: Launcher, own_redis: RedisServer
) -> None:
    async with module_launcher(WORKERS="2") as server:
        key, path = await make_key(server)
        own_redis.stop()
        try:
            assert (await server.operator("DELETE", path)).status_code == 204
        finally:
            own_redis.start()

        assert await until(lambda: rejected_by_all(server, key)) < CACHE_S / 2


async def test_session_revoked_at_one_worker_is_revoked_at_all(
    module_launcher: Launcher, carrier: TwilioServer
) -> None:
    """Each worker queries Redis at its next check, so the test does not wait."""
    async with module_launcher(WORKERS="2") as server:
        tenant = await server.tenant()
        for method, end in (("DELETE", "/sessions"), ("POST", "/ban"), ("DELETE", "")):
            phone = new_phone()
            await server.ask(phone, tenant["api_key"])
            login = (await server.answer(phone, carrier.code_for(phone), tenant["api_key"])).json()
            assert await checks(server, tenant["api_key"], login["token"]) == {200}

            path = f"/api/admin/tenants/{tenant['tenant_id']}/users/{login['user_id']}{end}"
            assert (await server.operator(method, path)).status_code in (200, 204)

            assert await checks(server, tenant["api_key"], login["token"]) == {401}


async def checks(server: Auth1, key: str, token: str) -> set[int]:
    """Return the responses of all workers to a token."""
    headers = {"x-api-key": key, "authorization": f"Bearer {token}"}
    return {(await server.client.get("/api/auth/me", headers=headers)).status_code for _ in range(12)}
