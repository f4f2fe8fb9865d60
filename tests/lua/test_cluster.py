"""Redis Cluster: all keys of one call share a hash tag, so that they lie in one slot."""

from collections.abc import Iterator

import hiredis
import pytest

from auth1.core.redis import Script
from auth1.dev.processes import free_port
from auth1.dev.redis import RedisServer
from auth1.fraud.assess import rate_limits
from auth1.fraud.exposures.messages import Message
from auth1.identifiers import Identifier, parse_identifier
from auth1.tenants.settings import Tenant, TenantSettings
from tests.conftest import Started, new_phone
from tests.support.providers.twilio import TwilioServer
from tests.support.raw_redis import RawRedis

ACQUIRE = Script.load("ratelimit_acquire")
TENANT = Tenant(
    id="tn_01k9z4m8e2v7q6n3r5t1w0x8y4",
    name="My App",
    settings=TenantSettings(),
    jwt_version=1,
    suspended=False,
    key_id="key_1",
    key_kind="pk",
    allowed_origins=(),
    key_expires_at=None,
)


def hash_tag(key: str) -> str:
    """Return the hash tag of a key (the cluster specification: "Hash tags")."""
    _, brace, rest = key.partition("{")
    tag, end, _ = rest.partition("}")
    return tag if brace and end and tag else key


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Return a cluster of one node, which rejects cross-slot calls like any other."""
    # Otherwise it would use a cluster bus port that may be in use by an outgoing connection.
    arguments = ["--cluster-enabled", "yes", "--cluster-port", str(free_port())]
    with RedisServer(tmp_path_factory.mktemp("cluster"), arguments=arguments) as server:
        yield server


@pytest.mark.parametrize(
    "identifier",
    [
        parse_identifier(phone="+15551234567", email=None),
        parse_identifier(phone=None, email="a@b.co"),
        parse_identifier(phone=None, email="{other}@b.co"),
        parse_identifier(phone=None, email="}{@b.co"),
    ],
)
@pytest.mark.parametrize("tenant_id", [TENANT.id, f"{TENANT.id}:test"])
def test_rate_limits_of_a_request_share_the_tenant_hash_tag(tenant_id: str, identifier: Identifier) -> None:
    tenant = Tenant(**{field: getattr(TENANT, field) for field in TENANT.__struct_fields__} | {"id": tenant_id})
    number = identifier.value if identifier.channel == "sms" else None
    message = Message(tenant_id, identifier.value, number, address="203.0.113.7", proof="0" * 64)

    keys = [limit.key for limit in rate_limits(tenant, identifier.value)] + message.narrow_keys()
    keys += [message.sends_key(), message.proof_key(), message.wide_key()]

    assert len(keys) >= 5
    assert {hash_tag(key) for key in keys} == {tenant_id}


async def test_login_works_with_a_redis_cluster(
    start_app: Started, cluster: RedisServer, twilio_server: TwilioServer
) -> None:
    raw_redis = await RawRedis.connect(cluster.url())
    assert await raw_redis.call("CLUSTER", "ADDSLOTSRANGE", 0, 16383) == b"OK"
    while b"cluster_state:ok" not in await raw_redis.call("CLUSTER", "INFO"):
        pass
    rejected = await raw_redis.call("EVAL", ACQUIRE.text, 2, "one", "another", 1, 1000, 1, 1000)
    assert isinstance(rejected, hiredis.ReplyError)
    assert str(rejected).startswith("CROSSSLOT")  # so strictly
    await raw_redis.call("CONFIG", "RESETSTAT")
    api = await start_app(REDIS_URL=cluster.url(), DATABASE_POOL_SIZE="2")
    made = await api.tenant()

    for key, headers in (
        (made["api_key"], {}),
        (made["api_key"], {"x_forwarded_for": "2001:db8::1"}),
        (made["secret_key"], {"auth1_forwarded_for": "203.0.113.7"}),
        (made["test_key"], {}),
    ):
        phone = new_phone()
        requested = await api.post("/api/auth/request", {"phone": phone}, key, **headers)
        assert requested.status_code == 200, requested.text
        code = "0" * 6 if key == made["test_key"] else twilio_server.code_for(phone)
        verified = await api.post("/api/auth/verify", {"phone": phone, "code": code}, key, **headers)
        assert verified.status_code == 200, verified.text
    await api.services.limiter.flush_releases()

    errors = (await raw_redis.call("INFO", "errorstats")).decode()
    assert [line for line in errors.splitlines() if line.startswith("errorstat_") and "NOSCRIPT" not in line] == []
    keys = [key.decode() for key in await raw_redis.call("KEYS", "ratelimit:*")]
    kinds = {key.rpartition("}")[2].split(":")[1] for key in keys}
    assert kinds >= {"ip", "tenant", "identifier"}
    assert all(hash_tag(key) != key for key in keys)
    raw_redis.close()
