"""Changes made through one worker apply to the other (contract: section 2)."""

import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from auth1.dev.redis import RedisServer
from tests.conftest import Started, new_phone
from tests.support.api_client import TENANTS, ApiClient
from tests.support.api_keys import add, code_for, end, patch, rotate
from tests.support.polling import until

# The contract says 1 s. A busy machine gets more, but less than the life of an entry, which is what the
# announcement saves the other worker from.
SEEN_S = 300.0
LIFE_S = 30.0


@pytest.fixture(scope="module")
async def workers(start_app: Started) -> AsyncIterator[tuple[ApiClient, ApiClient]]:
    both = await start_app(background=True), await start_app(background=True)
    yield both
    end_jobs(*both)


def end_jobs(*workers: ApiClient) -> None:
    """End the background jobs of workers: their outboxes would retry messages of later tests in this database."""
    for worker in workers:
        for job in worker.services.background:
            job.cancel()


async def is_known(api: ApiClient, key: str) -> bool:
    """Return whether the key is valid and cached by the worker."""
    assert await code_for(api, key) is None
    before = api.services.postgres.round_trips
    assert await code_for(api, key) is None
    return api.services.postgres.round_trips == before


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("DELETE", "/keys/{key_id}", "invalid_api_key"),
        ("DELETE", "", "invalid_api_key"),
        ("POST", "/suspend", "tenant_suspended"),
    ],
    ids=["a key revoked", "a tenant deleted", "a tenant suspended"],
)
@pytest.mark.parametrize("kind", ["pk", "sk", "test"])
async def test_other_worker_rejects_a_revoked_key_or_tenant(
    workers: tuple[ApiClient, ApiClient], method: str, path: str, code: str, kind: str
) -> None:
    here, there = workers
    tenant = await here.tenant()
    key = await add(here, tenant, kind=kind)
    assert await until(lambda: is_known(there, key["api_key"]))

    path = f"{TENANTS}/{tenant['tenant_id']}{path.format(key_id=key['key_id'])}"
    assert (await here.admin(method, path)).status_code in (200, 204)

    assert await code_for(here, key["api_key"]) == code

    async def is_seen() -> bool:
        return await code_for(there, key["api_key"]) == code

    assert await until(is_seen, SEEN_S)


async def test_other_worker_accepts_a_resumed_tenant(workers: tuple[ApiClient, ApiClient]) -> None:
    here, there = workers
    tenant = await here.tenant()
    await here.admin("POST", f"{TENANTS}/{tenant['tenant_id']}/suspend")

    async def is_suspended() -> bool:
        return await code_for(there, tenant["api_key"]) == "tenant_suspended"

    assert await until(is_suspended, SEEN_S)

    await here.admin("POST", f"{TENANTS}/{tenant['tenant_id']}/resume")

    async def is_resumed() -> bool:
        return await code_for(there, tenant["api_key"]) is None

    assert await until(is_resumed, SEEN_S)


async def test_other_worker_uses_the_changed_origins(workers: tuple[ApiClient, ApiClient]) -> None:
    here, there = workers
    tenant = await here.tenant()
    key = await add(here, tenant, allowed_origins=["https://old.example.com"])
    assert await until(lambda: is_known(there, key["api_key"]))

    await patch(here, tenant, key["key_id"], allowed_origins=["https://new.example.com"])

    async def is_seen() -> bool:
        return await code_for(there, key["api_key"], origin="https://old.example.com") == "origin_not_allowed"

    assert await until(is_seen, SEEN_S)
    assert await code_for(there, key["api_key"], origin="https://new.example.com") is None


async def test_other_worker_uses_the_changed_setting(workers: tuple[ApiClient, ApiClient]) -> None:
    here, there = workers
    tenant = await here.tenant()
    assert await until(lambda: is_known(there, tenant["api_key"]))

    async def code_of_an_answer() -> str:
        body = {"phone": new_phone(), "code": "000000"}
        code: str = (await there.post("/api/auth/verify", body, tenant["api_key"])).json()["code"]
        return code

    assert await code_of_an_answer() == "no_active_challenge"

    changes = {"settings": {"require_challenge_id": True}}
    assert (await here.admin("PATCH", f"{TENANTS}/{tenant['tenant_id']}", changes)).status_code == 200

    async def is_seen() -> bool:
        return await code_of_an_answer() == "validation_failed"

    assert await until(is_seen, SEEN_S)


async def test_other_worker_rejects_a_rotated_key(workers: tuple[ApiClient, ApiClient]) -> None:
    here, there = workers
    tenant = await here.tenant()
    key = await add(here, tenant)
    assert await until(lambda: is_known(there, key["api_key"]))

    new = await rotate(here, tenant, key["key_id"], grace_in=0)

    assert await code_for(there, new["api_key"]) is None

    async def is_seen() -> bool:
        return await code_for(there, key["api_key"]) == "invalid_api_key"

    assert await until(is_seen, SEEN_S)


async def test_change_without_redis_is_seen_after_cache_expiry_or_recovery(start_app: Started, tmp_path: Path) -> None:
    with RedisServer(tmp_path) as redis:
        here, there = [await start_app(background=True, REDIS_URL=redis.url()) for _ in range(2)]
        tenant = await here.tenant()
        key = await add(here, tenant)
        assert await until(lambda: is_known(there, key["api_key"]))
        redis.kill()

        async def is_disconnected() -> bool:
            return not here.services.redis.connected and not there.services.redis.connected

        assert await until(is_disconnected)
        await end(here, tenant, key["key_id"])

        assert await code_for(here, key["api_key"]) == "invalid_api_key"
        assert await code_for(there, key["api_key"]) is None  # it cannot know
        with pytest.MonkeyPatch.context() as later:
            clock = SimpleNamespace(time=time.time, monotonic=lambda: time.monotonic() + LIFE_S)
            later.setattr("auth1.authn.tenants.time", clock)
            assert await code_for(there, key["api_key"]) == "invalid_api_key", "the cached entry has expired"
        assert await code_for(there, key["api_key"]) is None

        redis.start()

        async def is_seen() -> bool:
            return await code_for(there, key["api_key"]) == "invalid_api_key"

        assert await until(is_seen, SEEN_S)
        end_jobs(here, there)
