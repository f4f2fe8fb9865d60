"""Signing keys: creation in a race, rotation with an overlap, and a change of JWT_SECRET."""

import asyncio

import asyncpg
import jwt
import pytest

from auth1.core.crypto import Keyring
from auth1.secret_renewal import encrypt_all_again
from auth1.signing import key_cache, rotation
from auth1.signing.key_cache import SigningKeys
from auth1.signing.keys import create_key
from tests.conftest import JWT_SECRET
from tests.oauth.machine import Machine, NewMachine
from tests.support.api_client import ApiClient

NEW_SECRET = "another secret for signing that only the tests know"


async def states(database: asyncpg.Connection, machine: Machine) -> list[tuple[str, str]]:
    rows = await database.fetch(
        "select kid, state from signing_keys where tenant_id = $1 order by created_at, kid", machine.issuer_id
    )
    return [(row["kid"], row["state"]) for row in rows]


async def age(database: asyncpg.Connection, machine: Machine, column: str, interval: str) -> None:
    query = f"update signing_keys set {column} = {column} - interval '{interval}' where tenant_id = $1"
    await database.execute(query, machine.issuer_id)


def kid_of(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])


@pytest.fixture
def uncached(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let workers read the keys of a tenant each time."""
    monkeypatch.setattr(key_cache, "LIFE_S", 0)
    monkeypatch.setattr(key_cache, "REREAD_S", 0)


async def test_workers_that_need_a_first_key_create_one(api: ApiClient, database: asyncpg.Connection) -> None:
    tenant_id = (await api.tenant())["tenant_id"]
    services = api.services
    workers = [SigningKeys(services.postgres, services.keyring, services.log) for _ in range(20)]

    keys = await asyncio.gather(*(worker.active(tenant_id, "ES256") for worker in workers))

    assert len({key.kid for key in keys}) == 1
    assert await database.fetchval("select count(*) from signing_keys where tenant_id = $1", tenant_id) == 1


async def test_key_of_another_worker_is_found_within_seconds(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    services = machine.api.services
    other = SigningKeys(services.postgres, services.keyring, services.log)
    monkeypatch.setattr(key_cache, "REREAD_S", 0)
    await other.public(machine.issuer_id, "unknown")
    await machine.manage("PATCH", f"/{machine.client_id}", {"id_token_alg": "EdDSA"})

    assert await other.public(machine.issuer_id, kid_of(await machine.token())) is not None


async def test_private_key_is_stored_encrypted(machine: Machine, database: asyncpg.Connection) -> None:
    row = await database.fetchrow("select kid, box from signing_keys where tenant_id = $1", machine.issuer_id)
    key = (await machine.api.services.signing_keys.active(machine.issuer_id, "ES256")).key

    assert row is not None
    number = key.private_numbers().private_value.to_bytes(32, "big")
    assert number not in bytes(row["box"])


@pytest.mark.usefixtures("uncached")
async def test_key_is_replaced_after_90_days_with_an_overlap(machine: Machine, database: asyncpg.Connection) -> None:
    app, old_token = machine.api.services, await machine.token()
    [(old, _)] = await states(database, machine)

    await rotation.rotate_keys(app)
    young = await states(database, machine)
    await age(database, machine, "activated_at", "89 days")
    await asyncio.gather(*(rotation.rotate_keys(app) for _ in range(5)))
    published = await states(database, machine)
    still_old = kid_of(await machine.token())
    await age(database, machine, "activated_at", "1 day")
    await rotation.rotate_keys(app)
    too_early = await states(database, machine)
    await age(database, machine, "created_at", "1 day")
    await asyncio.gather(*(rotation.rotate_keys(app) for _ in range(5)))
    rotated = dict(await states(database, machine))

    assert young == [(old, "active")]
    assert [state for _, state in published] == ["active", "next"]
    assert (still_old, too_early) == (old, published)
    new = kid_of(await machine.token())
    assert rotated == {old: "retiring", new: "active"}
    assert {key["kid"] for key in (await machine.jwks())["keys"]} == {old, new}
    assert await machine.is_active(old_token)

    await age(database, machine, "retires_at", "1 day")
    await rotation.rotate_keys(app)
    assert await states(database, machine) == [(new, "active")]
    assert not await machine.is_active(old_token)


@pytest.mark.usefixtures("uncached")
async def test_keys_survive_a_change_of_the_secret(new_machine: NewMachine) -> None:
    machine = await new_machine()
    kid = kid_of(await machine.token())
    services = machine.api.services
    changed = Keyring(NEW_SECRET, JWT_SECRET)
    meanwhile = await SigningKeys(services.postgres, changed, services.log).active(machine.issuer_id, "ES256")

    await encrypt_all_again(services.postgres, changed)
    after = await SigningKeys(services.postgres, Keyring(NEW_SECRET), services.log).active(machine.issuer_id, "ES256")
    await encrypt_all_again(services.postgres, Keyring(JWT_SECRET, NEW_SECRET))

    assert meanwhile.kid == after.kid == kid == kid_of(await machine.token())


@pytest.mark.usefixtures("uncached")
async def test_key_of_a_lost_secret_is_replaced(machine: Machine, database: asyncpg.Connection) -> None:
    services = machine.api.services
    lost = SigningKeys(services.postgres, Keyring(NEW_SECRET), services.log)

    key = await lost.active(machine.issuer_id, "ES256")

    assert [state for _, state in await states(database, machine)] == ["retiring", "active"]
    assert key.kid != kid_of(await machine.token())  # which replaces it again, with the first secret


def test_new_keys_have_thumbprints_as_ids() -> None:
    keys = [create_key(alg) for alg in ("RS256", "ES256", "EdDSA")]

    assert [key.jwk["kty"] for key in keys] == ["RSA", "EC", "OKP"]
    assert len({key.kid for key in keys}) == 3
    assert all(set(key.jwk) <= {"kid", "use", "alg", "kty", "e", "n", "crv", "x", "y"} for key in keys)
