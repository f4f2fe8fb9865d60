"""Signing keys: the operator's (ES256, EdDSA), the tenant's secret, and their rotation."""

import asyncio
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from auth1.sessions.tokens import Signer
from tests.conftest import JWT_SECRET, Door, Started
from tests.sessions.conftest import NewPerson, Person

JWKS, METADATA = "/.well-known/jwks.json", "/.well-known/openid-configuration"


def pem(key: Any) -> str:
    return str(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())


def public_pem(key: Any) -> str:
    return str(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


def ec_key() -> Any:
    return ec.generate_private_key(ec.SECP256R1())


MAKE: dict[str, Callable[[], Any]] = {"ES256": ec_key, "EdDSA": ed25519.Ed25519PrivateKey.generate}


async def verify(door: Door, token: str, tenant: dict[str, Any], audience: str | None = None) -> dict[str, Any]:
    """Verify a token with the public keys only."""
    keys = jwt.PyJWKSet.from_dict((await door.client.get(JWKS)).json())
    header = jwt.get_unverified_header(token)
    key = keys[header["kid"]]
    claims: dict[str, Any] = jwt.decode(
        token,
        key,
        algorithms=[key.algorithm_name],
        audience=audience or tenant["tenant_id"],
        issuer="http://localhost:3000",
    )
    return claims


@pytest.mark.parametrize("algorithm", MAKE)
async def test_tokens_are_signed_with_the_operator_key(
    start_app: Started, new_person: NewPerson, algorithm: str
) -> None:
    door = await start_app(JWT_ALGORITHM=algorithm, JWT_PRIVATE_KEY=pem(MAKE[algorithm]()))
    person = await new_person([door])

    login = await person.log_in()

    claims = await verify(door, login["token"], person.tenant)
    assert claims["sub"] == login["user_id"]
    assert jwt.get_unverified_header(login["token"])["alg"] == algorithm
    assert await person.is_live(login["token"])
    pair = (await person.refresh(login["refresh_token"])).json()
    assert (await verify(door, pair["token"], person.tenant))["sid"] == login["session_id"]


async def test_jwks_contains_public_keys_only(start_app: Started, door: Door) -> None:
    keys = [ec_key(), ed25519.Ed25519PrivateKey.generate()]
    own = await start_app(JWT_ALGORITHM="ES256", JWT_PRIVATE_KEY="".join(map(pem, keys)))

    answer = await own.client.get(JWKS)

    shown = answer.json()["keys"]
    assert [(key["alg"], key["kty"], key["use"]) for key in shown] == [("ES256", "EC", "sig"), ("EdDSA", "OKP", "sig")]
    assert all("d" not in key for key in shown)
    assert answer.headers["cache-control"] == "public, max-age=600"
    assert (await door.client.get(JWKS)).json() == {"keys": []}  # tenants' secrets are never shown


async def test_server_metadata_is_correct(start_app: Started, door: Door) -> None:
    own = await start_app(
        JWT_ALGORITHM="EdDSA", JWT_PRIVATE_KEY=pem(MAKE["EdDSA"]()), APP_URL="https://auth.example.com"
    )

    told = (await own.client.get(METADATA, headers={"host": "evil.example.com"})).json()

    assert told["issuer"] == "https://auth.example.com"
    assert told["jwks_uri"] == "https://auth.example.com/.well-known/jwks.json"
    assert told["access_token_signing_alg_values_supported"] == ["EdDSA"]
    assert not [name for name in told if name.endswith("_endpoint")]  # none of ours is one of OAuth
    assert (await door.client.get(METADATA)).json()["access_token_signing_alg_values_supported"] == ["HS256"]


async def test_sandbox_tokens_have_a_separate_signing_key(start_app: Started, new_person: NewPerson) -> None:
    door = await start_app(JWT_ALGORITHM="ES256", JWT_PRIVATE_KEY=pem(ec_key()))
    person = await new_person([door], key="test_key")

    token = (await person.log_in())["token"]

    assert jwt.get_unverified_header(token)["alg"] == "HS256"
    with pytest.raises(KeyError):
        await verify(door, token, person.tenant, f"{person.tenant['tenant_id']}:test")
    live = Person(person.doors, person.tenant, person.twilio, person.database)
    assert (await live.call("GET", "/api/auth/me/sessions", token)).json()["code"] == "invalid_token"


async def test_token_signed_with_tenant_secret_is_rejected_with_an_operator_key(
    start_app: Started, new_person: NewPerson
) -> None:
    private = ec_key()
    door = await start_app(JWT_ALGORITHM="ES256", JWT_PRIVATE_KEY=pem(private))
    person = await new_person([door])
    claims = jwt.decode((await person.log_in())["token"], options={"verify_signature": False})
    header = {"typ": "at+jwt", "kid": f"{person.tenant['tenant_id']}.1"}
    shown = (await door.client.get(JWKS)).json()["keys"][0]

    by_secret = jwt.encode(claims, person.tenant["jwt_secret"], algorithm="HS256", headers=header)
    confused = jwt.encode(claims, shown["x"] + shown["y"], algorithm="HS256", headers=header | {"kid": shown["kid"]})
    stranger = jwt.encode(claims, ec_key(), algorithm="ES256", headers=header | {"kid": shown["kid"]})

    for token in (by_secret, confused, stranger):
        assert await person.introspect(token) == {"active": False}


async def test_operator_key_rotation_causes_no_failed_check(start_app: Started, new_person: NewPerson) -> None:
    """Three rolling restarts: the new key is published, then it signs, then the old one is removed."""
    old, new = ec_key(), ed25519.Ed25519PrivateKey.generate()
    steps = [("ES256", [old]), ("ES256", [old, new]), ("EdDSA", [new, old])]
    doors = [
        await start_app(JWT_ALGORITHM=algorithm, JWT_PRIVATE_KEY="".join(map(pem, keys))) for algorithm, keys in steps
    ]
    people = [await new_person([door]) for door in doors]
    tokens = [(await person.log_in())["token"] for person in people]

    for before, after in ((0, 1), (1, 0), (1, 2), (2, 1)):  # instances of both kinds are there during a restart
        elsewhere = Person([doors[after]], people[before].tenant, people[before].twilio, people[before].database)
        assert (await elsewhere.introspect(tokens[before]))["active"]
    last = await start_app(JWT_ALGORITHM="EdDSA", JWT_PRIVATE_KEY=pem(new) + public_pem(old))
    elsewhere = Person([last], people[0].tenant, people[0].twilio, people[0].database)
    assert (await elsewhere.introspect(tokens[0]))["active"]


async def test_jwks_may_publish_keys_before_they_sign(start_app: Started, new_person: NewPerson) -> None:
    key = pem(ec_key())
    prepared, switched = (
        await start_app(JWT_PRIVATE_KEY=key),
        await start_app(JWT_PRIVATE_KEY=key, JWT_ALGORITHM="ES256"),
    )
    person = await new_person([switched])
    token = (await person.log_in())["token"]

    assert (await Person([prepared], person.tenant, person.twilio, person.database).introspect(token))["active"]
    assert len((await prepared.client.get(JWKS)).json()["keys"]) == 1


async def test_tenant_secret_rotation_under_load_causes_no_failed_check(
    new_person: NewPerson, doors: list[Door]
) -> None:
    person = await new_person(doors)
    login = await person.log_in()
    round_done, done = asyncio.Event(), asyncio.Event()

    async def check_all_the_time() -> None:
        token, refresh_token = login["token"], login["refresh_token"]
        while not done.is_set():
            assert (await person.introspect(token))["active"]
            assert (await person.introspect(login["token"]))["active"]  # the first of all
            pair = (await person.refresh(refresh_token)).json()
            token, refresh_token = pair["token"], pair["refresh_token"]
            round_done.set()

    load = asyncio.create_task(check_all_the_time())
    secrets = {person.tenant["jwt_secret"]}
    for number in range(2, 12):
        rotated = await person.manage("POST", "/jwt-secret/rotate", {"grace_in": 600})
        assert rotated.status_code == 200, rotated.text
        assert rotated.json()["kid"] == f"{person.tenant['tenant_id']}.{number}"
        secrets.add(rotated.json()["jwt_secret"])
        round_done.clear()
        await asyncio.wait({load, asyncio.create_task(round_done.wait())}, return_when=asyncio.FIRST_COMPLETED)
    done.set()
    await load

    assert len(secrets) == 11
    newest = await person.log_in()
    jwt.decode(newest["token"], rotated.json()["jwt_secret"], algorithms=["HS256"], audience=person.tenant["tenant_id"])


async def test_tenant_reads_all_secrets_that_verify_its_tokens(
    new_person: NewPerson, start_app: Started, door: Door
) -> None:
    """While JWT_SECRET is rotated, applications can fetch the new secret before it signs."""
    person = await new_person()
    first = (await person.manage("GET", "/jwt-secret")).json()
    assert first == {"jwt_secret": person.tenant["jwt_secret"], "kid": f"{person.tenant['tenant_id']}.1", "others": []}
    rotated = (await person.manage("POST", "/jwt-secret/rotate", {"grace_in": 600})).json()

    shown = (await person.manage("GET", "/jwt-secret")).json()

    assert shown == rotated | {"others": [{name: first[name] for name in ("jwt_secret", "kid")}]}
    new = "another secret that only the tests know"
    announced = await start_app(JWT_SECRET_PREVIOUS=new)
    changed = await start_app(JWT_SECRET=new, JWT_SECRET_PREVIOUS=JWT_SECRET)
    for one in (announced, changed):
        there = Person([one], person.tenant, person.twilio, person.database)
        told = (await there.manage("GET", "/jwt-secret")).json()
        secrets = [told["jwt_secret"], *(other["jwt_secret"] for other in told["others"])]
        token = (await Person([changed], person.tenant, person.twilio, person.database).log_in())["token"]
        assert len(set(secrets)) == 4
        assert [secret for secret in secrets if verifies(token, secret)] == [secrets[1 if one is announced else 0]]


def verifies(token: str, secret: str) -> bool:
    try:
        jwt.decode(token, secret, algorithms=["HS256"], options={"verify_aud": False})
    except jwt.InvalidSignatureError:
        return False
    return True


async def test_leaked_secret_is_revoked_immediately(new_person: NewPerson) -> None:
    person = await new_person()
    login = await person.log_in()
    await person.manage("POST", "/jwt-secret/rotate", {"grace_in": 3600})
    second = (await person.refresh(login["refresh_token"])).json()

    await person.manage("POST", "/jwt-secret/rotate", {"grace_in": 0})

    for pair in (login, second):  # none of the earlier ones outlives what the last rotation allows
        assert await person.introspect(pair["token"]) == {"active": False}
    fresh = (await person.refresh(second["refresh_token"])).json()
    assert (await person.introspect(fresh["token"]))["active"]


@pytest.mark.parametrize("grace_in", [-1, 30 * 24 * 3600 + 1, "1", None])
async def test_invalid_grace_period_is_rejected(person: Person, grace_in: object) -> None:
    assert (await person.manage("POST", "/jwt-secret/rotate", {"grace_in": grace_in})).status_code == 422


def test_each_tenant_pool_and_version_has_its_own_secret(door: Door) -> None:
    signer: Signer = door.services.signer
    assert [len(secret) for secret in signer.secrets("tn_1", 1)] == [43]
    pools = ("tn_1", "tn_1:test", "tn_2")
    assert len({signer.secrets(tenant, version)[0] for tenant in pools for version in (1, 2)}) == 6
