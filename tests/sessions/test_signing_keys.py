"""Signing keys: the operator's (ES256, EdDSA), the tenant's secret, and their rotation."""

import asyncio
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from auth1.sessions.tokens import Signer
from tests.conftest import JWT_SECRET, Started
from tests.sessions.conftest import NewUser, SessionUser
from tests.support.api_client import ApiClient

JWKS, METADATA = "/.well-known/jwks.json", "/.well-known/openid-configuration"


def pem(key: Any) -> str:
    return str(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())


def public_pem(key: Any) -> str:
    return str(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


def ec_key() -> Any:
    return ec.generate_private_key(ec.SECP256R1())


MAKE: dict[str, Callable[[], Any]] = {"ES256": ec_key, "EdDSA": ed25519.Ed25519PrivateKey.generate}


async def verify(api: ApiClient, token: str, tenant: dict[str, Any], audience: str | None = None) -> dict[str, Any]:
    """Verify a token with the public keys only."""
    keys = jwt.PyJWKSet.from_dict((await api.client.get(JWKS)).json())
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
async def test_tokens_are_signed_with_the_operator_key(start_app: Started, new_user: NewUser, algorithm: str) -> None:
    api = await start_app(JWT_ALGORITHM=algorithm, JWT_PRIVATE_KEY=pem(MAKE[algorithm]()))
    user = await new_user([api])

    login = await user.log_in()

    claims = await verify(api, login["token"], user.tenant)
    assert claims["sub"] == login["user_id"]
    assert jwt.get_unverified_header(login["token"])["alg"] == algorithm
    assert await user.is_live(login["token"])
    pair = (await user.refresh(login["refresh_token"])).json()
    assert (await verify(api, pair["token"], user.tenant))["sid"] == login["session_id"]


async def test_jwks_contains_public_keys_only(start_app: Started, api: ApiClient) -> None:
    keys = [ec_key(), ed25519.Ed25519PrivateKey.generate()]
    own = await start_app(JWT_ALGORITHM="ES256", JWT_PRIVATE_KEY="".join(map(pem, keys)))

    answer = await own.client.get(JWKS)

    shown = answer.json()["keys"]
    assert [(key["alg"], key["kty"], key["use"]) for key in shown] == [("ES256", "EC", "sig"), ("EdDSA", "OKP", "sig")]
    assert all("d" not in key for key in shown)
    assert answer.headers["cache-control"] == "public, max-age=600"
    assert (await api.client.get(JWKS)).json() == {"keys": []}  # tenants' secrets are never shown


async def test_server_metadata_is_correct(start_app: Started, api: ApiClient) -> None:
    own = await start_app(
        JWT_ALGORITHM="EdDSA", JWT_PRIVATE_KEY=pem(MAKE["EdDSA"]()), APP_URL="https://auth.example.com"
    )

    reported = (await own.client.get(METADATA, headers={"host": "evil.example.com"})).json()

    assert reported["issuer"] == "https://auth.example.com"
    assert reported["jwks_uri"] == "https://auth.example.com/.well-known/jwks.json"
    assert reported["access_token_signing_alg_values_supported"] == ["EdDSA"]
    assert not [name for name in reported if name.endswith("_endpoint")]  # none of ours is one of OAuth
    assert (await api.client.get(METADATA)).json()["access_token_signing_alg_values_supported"] == ["HS256"]


async def test_sandbox_tokens_have_a_separate_signing_key(start_app: Started, new_user: NewUser) -> None:
    api = await start_app(JWT_ALGORITHM="ES256", JWT_PRIVATE_KEY=pem(ec_key()))
    user = await new_user([api], key="test_key")

    token = (await user.log_in())["token"]

    assert jwt.get_unverified_header(token)["alg"] == "HS256"
    with pytest.raises(KeyError):
        await verify(api, token, user.tenant, f"{user.tenant['tenant_id']}:test")
    live = SessionUser(user.apis, user.tenant, user.twilio, user.database)
    assert (await live.call("GET", "/api/auth/me/sessions", token)).json()["code"] == "invalid_token"


async def test_token_signed_with_tenant_secret_is_rejected_with_an_operator_key(
    start_app: Started, new_user: NewUser
) -> None:
    private = ec_key()
    api = await start_app(JWT_ALGORITHM="ES256", JWT_PRIVATE_KEY=pem(private))
    user = await new_user([api])
    claims = jwt.decode((await user.log_in())["token"], options={"verify_signature": False})
    header = {"typ": "at+jwt", "kid": f"{user.tenant['tenant_id']}.1"}
    shown = (await api.client.get(JWKS)).json()["keys"][0]

    by_secret = jwt.encode(claims, user.tenant["jwt_secret"], algorithm="HS256", headers=header)
    confused = jwt.encode(claims, shown["x"] + shown["y"], algorithm="HS256", headers=header | {"kid": shown["kid"]})
    stranger = jwt.encode(claims, ec_key(), algorithm="ES256", headers=header | {"kid": shown["kid"]})

    for token in (by_secret, confused, stranger):
        assert await user.introspect(token) == {"active": False}


async def test_operator_key_rotation_causes_no_failed_check(start_app: Started, new_user: NewUser) -> None:
    """Three rolling restarts: the new key is published, then it signs, then the old one is removed."""
    old, new = ec_key(), ed25519.Ed25519PrivateKey.generate()
    steps = [("ES256", [old]), ("ES256", [old, new]), ("EdDSA", [new, old])]
    apis = [
        await start_app(JWT_ALGORITHM=algorithm, JWT_PRIVATE_KEY="".join(map(pem, keys))) for algorithm, keys in steps
    ]
    users = [await new_user([api]) for api in apis]
    tokens = [(await user.log_in())["token"] for user in users]

    for before, after in ((0, 1), (1, 0), (1, 2), (2, 1)):  # instances of both kinds are there during a restart
        elsewhere = SessionUser([apis[after]], users[before].tenant, users[before].twilio, users[before].database)
        assert (await elsewhere.introspect(tokens[before]))["active"]
    last = await start_app(JWT_ALGORITHM="EdDSA", JWT_PRIVATE_KEY=pem(new) + public_pem(old))
    elsewhere = SessionUser([last], users[0].tenant, users[0].twilio, users[0].database)
    assert (await elsewhere.introspect(tokens[0]))["active"]


async def test_jwks_may_publish_keys_before_they_sign(start_app: Started, new_user: NewUser) -> None:
    key = pem(ec_key())
    prepared, switched = (
        await start_app(JWT_PRIVATE_KEY=key),
        await start_app(JWT_PRIVATE_KEY=key, JWT_ALGORITHM="ES256"),
    )
    user = await new_user([switched])
    token = (await user.log_in())["token"]

    assert (await SessionUser([prepared], user.tenant, user.twilio, user.database).introspect(token))["active"]
    assert len((await prepared.client.get(JWKS)).json()["keys"]) == 1


async def test_tenant_secret_rotation_under_load_causes_no_failed_check(
    new_user: NewUser, apis: list[ApiClient]
) -> None:
    user = await new_user(apis)
    login = await user.log_in()
    round_done, done = asyncio.Event(), asyncio.Event()

    async def check_all_the_time() -> None:
        token, refresh_token = login["token"], login["refresh_token"]
        while not done.is_set():
            assert (await user.introspect(token))["active"]
            assert (await user.introspect(login["token"]))["active"]  # the first of all
            pair = (await user.refresh(refresh_token)).json()
            token, refresh_token = pair["token"], pair["refresh_token"]
            round_done.set()

    load = asyncio.create_task(check_all_the_time())
    secrets = {user.tenant["jwt_secret"]}
    for number in range(2, 12):
        rotated = await user.manage("POST", "/jwt-secret/rotate", {"grace_in": 600})
        assert rotated.status_code == 200, rotated.text
        assert rotated.json()["kid"] == f"{user.tenant['tenant_id']}.{number}"
        secrets.add(rotated.json()["jwt_secret"])
        round_done.clear()
        await asyncio.wait({load, asyncio.create_task(round_done.wait())}, return_when=asyncio.FIRST_COMPLETED)
    done.set()
    await load

    assert len(secrets) == 11
    newest = await user.log_in()
    jwt.decode(newest["token"], rotated.json()["jwt_secret"], algorithms=["HS256"], audience=user.tenant["tenant_id"])


async def test_tenant_reads_all_secrets_that_verify_its_tokens(
    new_user: NewUser, start_app: Started, api: ApiClient
) -> None:
    """While JWT_SECRET is rotated, applications can fetch the new secret before it signs."""
    user = await new_user()
    first = (await user.manage("GET", "/jwt-secret")).json()
    assert first == {"jwt_secret": user.tenant["jwt_secret"], "kid": f"{user.tenant['tenant_id']}.1", "others": []}
    rotated = (await user.manage("POST", "/jwt-secret/rotate", {"grace_in": 600})).json()

    shown = (await user.manage("GET", "/jwt-secret")).json()

    assert shown == rotated | {"others": [{name: first[name] for name in ("jwt_secret", "kid")}]}
    new = "another secret that only the tests know"
    announced = await start_app(JWT_SECRET_PREVIOUS=new)
    changed = await start_app(JWT_SECRET=new, JWT_SECRET_PREVIOUS=JWT_SECRET)
    for one in (announced, changed):
        there = SessionUser([one], user.tenant, user.twilio, user.database)
        reported = (await there.manage("GET", "/jwt-secret")).json()
        secrets = [reported["jwt_secret"], *(other["jwt_secret"] for other in reported["others"])]
        token = (await SessionUser([changed], user.tenant, user.twilio, user.database).log_in())["token"]
        assert len(set(secrets)) == 4
        assert [secret for secret in secrets if verifies(token, secret)] == [secrets[1 if one is announced else 0]]


def verifies(token: str, secret: str) -> bool:
    try:
        jwt.decode(token, secret, algorithms=["HS256"], options={"verify_aud": False})
    except jwt.InvalidSignatureError:
        return False
    return True


async def test_leaked_secret_is_revoked_immediately(new_user: NewUser) -> None:
    user = await new_user()
    login = await user.log_in()
    await user.manage("POST", "/jwt-secret/rotate", {"grace_in": 3600})
    second = (await user.refresh(login["refresh_token"])).json()

    await user.manage("POST", "/jwt-secret/rotate", {"grace_in": 0})

    for pair in (login, second):  # none of the earlier ones outlives what the last rotation allows
        assert await user.introspect(pair["token"]) == {"active": False}
    fresh = (await user.refresh(second["refresh_token"])).json()
    assert (await user.introspect(fresh["token"]))["active"]


@pytest.mark.parametrize("grace_in", [-1, 30 * 24 * 3600 + 1, "1", None])
async def test_invalid_grace_period_is_rejected(user: SessionUser, grace_in: object) -> None:
    assert (await user.manage("POST", "/jwt-secret/rotate", {"grace_in": grace_in})).status_code == 422


def test_each_tenant_pool_and_version_has_its_own_secret(api: ApiClient) -> None:
    signer: Signer = api.services.signer
    assert [len(secret) for secret in signer.secrets("tn_1", 1)] == [43]
    pools = ("tn_1", "tn_1:test", "tn_2")
    assert len({signer.secrets(tenant, version)[0] for tenant in pools for version in (1, 2)}) == 6
