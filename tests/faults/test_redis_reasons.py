"""The reason of a failed connection to Redis is logged, once a minute; the time limits are settings."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from auth1.core.redis import Timeouts, open_redis
from auth1.core.telemetry.log import Log
from auth1.dev.processes import free_port
from auth1.dev.redis import RedisServer

PATIENT = Timeouts(connect_s=10.0, call_s=5.0)
Connect = Callable[..., Awaitable[list[str]]]


@pytest.fixture
def reasons(tmp_path: Path) -> Connect:
    """Connect to a URL several times and return the reasons that were logged."""

    async def connect(url: str, timeouts: Timeouts = PATIENT) -> list[str]:
        path = tmp_path / "log"
        with path.open("wb") as file:
            log = Log("warn", file.fileno())
            redis = open_redis(url, log, timeouts=timeouts)
            assert not await redis.start()
            await asyncio.sleep(0.6)  # it has tried again by now
            await redis.stop()
            log.close()
        lines = [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]
        return [line["reason"] for line in lines if line["msg"] == "redis connection failed"]

    return connect


async def test_refused_connection_is_logged(reasons: Connect) -> None:
    assert await reasons(f"redis://127.0.0.1:{free_port()}") == ["connection refused"]


async def test_wrong_password_is_named_and_not_logged(reasons: Connect, redis_server: RedisServer) -> None:
    found = await reasons(f"redis://:wrong-password@127.0.0.1:{redis_server.port}")

    assert found in (["rejected by Redis: WRONGPASS"], ["rejected by Redis: ERR"])


async def test_timeout_names_its_setting(reasons: Connect) -> None:
    async with listening() as port:
        found = await reasons(f"redis://127.0.0.1:{port}", Timeouts(connect_s=0.05, call_s=5.0))

    assert found == ["no answer within 50 ms (REDIS_CONNECT_TIMEOUT_MS)"]


async def test_unknown_certificate_authority_is_named(reasons: Connect, tmp_path: Path) -> None:
    async with listening(self_signed(tmp_path)) as port:
        [found] = await reasons(f"rediss://127.0.0.1:{port}")

    assert found.startswith("certificate is not trusted: self")


@asynccontextmanager
async def listening(tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Accept connections and never answer."""

    async def ignore(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(ignore, "127.0.0.1", 0, ssl=tls)
    yield server.sockets[0].getsockname()[1]
    server.close()


def self_signed(directory: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .sign(key, hashes.SHA256())
    )
    pem = directory / "server.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context
