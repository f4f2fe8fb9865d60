"""The reason that Sentinel or Redis Cluster cannot be used is shown at start, with the change to make."""

import importlib.util

import pytest

from auth1.cli import service_checks
from auth1.config.settings import ConfigurationError, load_settings
from auth1.core.redis import open_redis
from auth1.core.telemetry.log import Log
from auth1.dev.processes import free_port
from auth1.dev.redis import RedisServer
from tests.core.redis.conftest import PATIENT
from tests.support.redis_fleet import SERVICE, ClusterFleet, SentinelFleet


async def reason(url: str) -> str:
    """Return why no connection can be opened."""
    redis = open_redis(url, Log("error"), timeouts=PATIENT)
    assert not await redis.start()
    await redis.stop()
    assert "secret" not in redis.failure
    return redis.failure


async def test_unreachable_servers_are_named(redis_server: RedisServer) -> None:
    ports = [free_port(), free_port()]
    hosts = ",".join(f"127.0.0.1:{port}" for port in ports)

    assert await reason(f"redis+sentinel://{hosts}/{SERVICE}") == (
        "no sentinel of REDIS_URL can be reached: connection refused"
    )
    assert await reason(f"redis+cluster://{hosts}") == "no server of the cluster can be reached: connection refused"
    assert await reason(f"redis+cluster://127.0.0.1:{redis_server.port}") == (
        "the server of REDIS_URL is not in cluster mode: use redis://"
    )


async def test_unknown_service_is_named_with_those_that_exist(sentinels: SentinelFleet) -> None:
    assert await reason(sentinels.url.replace(SERVICE, "other")) == (
        f"Sentinel has no service 'other', which REDIS_URL names; it has: {SERVICE}"
    )


async def test_wrong_passwords_are_named(sentinels: SentinelFleet, cluster: ClusterFleet) -> None:
    found = await reason(sentinels.url.replace("://", "://:secret@"))
    assert found in ("rejected by Redis: WRONGPASS", "rejected by Redis: ERR")
    found = await reason(cluster.url.replace("://", "://:secret@"))
    assert found == "rejected by Redis: check user name and password in REDIS_URL"
    assert await reason(f"{sentinels.url}?sentinel_password=secret") == (
        "rejected by Sentinel: check sentinel_username and sentinel_password in REDIS_URL"
    )


async def test_cluster_without_slots_is_named(cluster: ClusterFleet) -> None:
    arguments = ["--cluster-enabled", "yes", "--cluster-port", str(free_port())]
    server = cluster.enter(RedisServer(cluster.directory / "empty", arguments=arguments))
    try:
        assert await reason(f"redis+cluster://127.0.0.1:{server.port}") == (
            "the cluster has no slots: create it with redis-cli --cluster create"
        )
    finally:
        server.stop()


async def test_doctor_shows_the_topology(
    cluster: ClusterFleet, sentinels: SentinelFleet, environment: dict[str, str]
) -> None:
    limits = {"REDIS_CONNECT_TIMEOUT_MS": "5000", "REDIS_CALL_TIMEOUT_MS": "5000"}

    found = await service_checks.check_redis(load_settings(environment | limits | {"REDIS_URL": cluster.url}))
    lines = [f"{one.status} {one.check}: {one.message}" for one in found]
    assert any(line.startswith("ok Redis topology: 3 primaries: 127.0.0.1:") for line in lines), lines
    assert any(line.startswith("ok Redis topology: 1 replica: 127.0.0.1:") for line in lines), lines
    assert "ok Redis slots: 16384 of 16384 slots are served." in lines
    assert len([one for one in found if one.check == "Redis memory"]) == 3

    found = await service_checks.check_redis(load_settings(environment | limits | {"REDIS_URL": sentinels.url}))
    lines = [f"{one.status} {one.check}: {one.message}" for one in found]
    assert "ok Redis sentinels: REDIS_URL lists 3 sentinels." in lines
    assert any(line.startswith("ok Redis topology: 1 primary: 127.0.0.1:") for line in lines), lines


def test_missing_package_is_named(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    with pytest.raises(ConfigurationError) as caught:
        load_settings(environment | {"REDIS_URL": "redis+cluster://redis"})

    assert caught.value.problems == [
        "REDIS_URL is redis+cluster://, which needs redis-py; run pip install 'auth1[redis]'"
    ]
