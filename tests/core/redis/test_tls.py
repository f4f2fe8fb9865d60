"""TLS to one server, to Sentinel and to Redis Cluster, with a private authority and client certificates."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest

from auth1.core.redis import open_redis
from auth1.core.telemetry.log import Log
from auth1.dev.processes import free_port
from auth1.dev.redis import RedisServer
from tests.core.redis.conftest import PATIENT, OpenRedis
from tests.support.certificates import make_certificate
from tests.support.process import until
from tests.support.redis_fleet import PATIENCE_S, SERVICE, Fleet, SentinelServer, find_tls_server, send

FORMS = ("rediss", "rediss+cluster", "rediss+sentinel")


class TlsServers(NamedTuple):
    """A server, which is a cluster of one and has a sentinel. Both demand a client certificate."""

    port: int
    sentinel_port: int
    pem: Path

    def url(self, form: str, parameters: str, host: str = "127.0.0.1") -> str:
        port, path = (self.sentinel_port, f"/{SERVICE}") if form.endswith("sentinel") else (self.port, "")
        return f"{form}://{host}:{port}{path}?{parameters}"


@pytest.fixture(scope="module")
async def servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TlsServers]:
    directory = tmp_path_factory.mktemp("tls")
    program = find_tls_server(directory)
    if program is None:
        pytest.skip("no Redis server with TLS: install Debian's redis-tools or redis-server")
    pem = directory / "server.pem"
    pem.write_bytes(make_certificate("127.0.0.1"))
    port, sentinel_port = free_port(), free_port()
    files = [("tls-cert-file", str(pem)), ("tls-key-file", str(pem)), ("tls-ca-cert-file", str(pem))]
    options = [*files, ("tls-auth-clients", "yes"), ("tls-replication", "yes")]
    cluster = [
        ("tls-port", str(port)),
        ("tls-cluster", "yes"),
        ("cluster-enabled", "yes"),
        ("cluster-port", str(free_port())),
    ]
    arguments = [word for name, value in [*options, *cluster] for word in (f"--{name}", value)]
    async with Fleet(directory) as fleet:
        server = fleet.enter(RedisServer(directory / "primary", arguments=arguments, program=program))
        assert await send(server, "CLUSTER", "ADDSLOTSRANGE", 0, 16383) == b"OK"
        await until(lambda: is_well(server), PATIENCE_S)
        lines = [f"{name} {value}" for name, value in [*options, ("tls-port", str(sentinel_port))]]
        fleet.enter(SentinelServer(directory / "sentinel", port, lines=lines, program=program))
        yield TlsServers(port, sentinel_port, pem)


async def is_well(server: RedisServer) -> bool:
    return b"cluster_state:ok" in await send(server, "CLUSTER", "INFO")


async def reason(url: str) -> str:
    redis = open_redis(url, Log("error"), timeouts=PATIENT)
    assert not await redis.start()
    await redis.stop()
    return redis.failure


@pytest.mark.parametrize("form", FORMS)
async def test_commands_work_over_tls(servers: TlsServers, connect: OpenRedis, form: str) -> None:
    files = f"ssl_ca_certs={servers.pem}&ssl_certfile={servers.pem}&ssl_keyfile={servers.pem}"
    redis = await connect(servers.url(form, files))

    assert await redis.call("SET", form, "value") == b"OK"
    assert await redis.call("GET", form) == b"value"


@pytest.mark.parametrize("form", FORMS)
async def test_unknown_authority_is_named(servers: TlsServers, form: str) -> None:
    files = f"ssl_certfile={servers.pem}&ssl_keyfile={servers.pem}"

    assert "certificate is not trusted: self" in await reason(servers.url(form, files))


@pytest.mark.parametrize("form", FORMS)
async def test_missing_client_certificate_is_rejected(servers: TlsServers, form: str) -> None:
    assert await reason(servers.url(form, f"ssl_ca_certs={servers.pem}")) != ""


@pytest.mark.parametrize("form", FORMS)
async def test_hostname_is_checked_unless_configured_otherwise(
    servers: TlsServers, connect: OpenRedis, form: str
) -> None:
    files = f"ssl_ca_certs={servers.pem}&ssl_certfile={servers.pem}"

    redis = await connect(servers.url(form, f"{files}&ssl_check_hostname=false", "localhost"))
    assert await redis.call("PING") == b"PONG"

    if form == "rediss":  # redis-py resolves the name
        assert "certificate is not trusted: Hostname mismatch" in await reason(servers.url(form, files, "localhost"))
