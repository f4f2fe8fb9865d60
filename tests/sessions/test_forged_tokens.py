"""Forged and altered tokens are rejected with 401 and never cause a 500 (RFC 8725)."""

import base64
import hmac
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg
import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from auth1.core.ids import new_id
from tests.conftest import JWT_SECRET
from tests.sessions.conftest import SESSIONS, SessionUser
from tests.support.api_client import ApiClient
from tests.support.providers.twilio import TwilioServer


def encoded(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class Forge:
    """Makes tokens like a real one, with one part changed."""

    def __init__(self, user: SessionUser, token: str) -> None:
        self.user, self.token = user, token
        self.claims = jwt.decode(token, options={"verify_signature": False})
        self.header = jwt.get_unverified_header(token)
        self.secret = user.tenant["jwt_secret"]

    def sign(self, claims: dict[str, Any] | None = None, secret: str | None = None, **header: Any) -> str:
        """Sign correctly; a header field of None is left out."""
        head = {name: value for name, value in (self.header | header).items() if value is not None}
        return self.raw(head, self.claims | (claims or {}), secret)

    def raw(self, header: object, claims: object, secret: str | None = None) -> str:
        """Sign any two parts."""
        text = f"{encoded(header)}.{encoded(claims)}"
        return f"{text}.{encoded(hmac.digest((secret or self.secret).encode(), text.encode(), 'sha256'))}"

    def without(self, name: str) -> str:
        return self.raw(self.header, {key: value for key, value in self.claims.items() if key != name})


def _parts(token: str) -> list[str]:
    return token.split(".")


def _rsa(forge: Forge) -> str:
    key = rsa.generate_private_key(65537, 2048)
    return jwt.encode(forge.claims, key, algorithm="RS256", headers=forge.header | {"alg": "RS256"})


TENANT = "tn_" + "0" * 26
FORGERIES: dict[str, Callable[[Forge], str]] = {
    "no algorithm": lambda f: f"{encoded(f.header | {'alg': 'none'})}.{_parts(f.token)[1]}.",
    "no algorithm, signed": lambda f: f.sign(alg="none"),
    "no signature": lambda f: f.token.rpartition(".")[0] + ".",
    "two parts": lambda f: f.token.rpartition(".")[0],
    "four parts": lambda f: f.token + ".x",
    "padded": lambda f: f.token + "=",
    "a bit that is left over": lambda f: f.token[:-1] + chr(ord(f.token[-1]) + 1),
    "a space in it": lambda f: f.token[:20] + " " + f.token[20:],
    "another signature": lambda f: f.token[:-8] + "AAAAAAAA",
    "another payload": lambda f: ".".join(
        [_parts(f.token)[0], encoded(f.claims | {"sub": new_id("usr")}), _parts(f.token)[2]]
    ),
    "the wrong secret": lambda f: f.sign(secret="x" * 43),
    "the operator's secret": lambda f: f.sign(secret=JWT_SECRET),
    "the tenant's key as secret": lambda f: f.sign(secret=f.user.tenant["secret_key"]),
    "HS384 in the header": lambda f: f.sign(alg="HS384"),
    "ES256 in the header": lambda f: f.sign(alg="ES256"),
    "RS256 with a key of one's own": _rsa,
    "alg in lower case": lambda f: f.sign(alg="hs256"),
    "alg is a list": lambda f: f.sign(alg=["HS256"]),
    "crit": lambda f: f.sign(crit=["exp"]),
    "b64": lambda f: f.sign(b64=False, crit=["b64"]),
    "jku": lambda f: f.sign(jku="https://evil.example.com/jwks.json"),
    "jwk": lambda f: f.sign(jwk={"kty": "oct", "k": "AAAA"}),
    "x5u": lambda f: f.sign(x5u="https://evil.example.com/"),
    "no kid": lambda f: f.sign(kid=None),
    "kid is a number": lambda f: f.sign(kid=1),
    "kid is a path": lambda f: f.sign(kid="../../dev/null"),
    "kid is SQL": lambda f: f.sign(kid="' or 1=1 --"),
    "kid of another tenant": lambda f: f.sign(kid=f"{TENANT}.1"),
    "kid of the sandbox": lambda f: f.sign(kid=f"{f.user.tenant['tenant_id']}:test.1"),
    "kid of a version that never was": lambda f: f.sign(kid=f"{f.user.tenant['tenant_id']}.0"),
    "kid of a version to come": lambda f: f.sign(kid=f"{f.user.tenant['tenant_id']}.2"),
    "kid of a huge version": lambda f: f.sign(kid=f"{f.user.tenant['tenant_id']}.{'9' * 400}"),
    "kid in other digits": lambda f: f.sign(kid=f"{f.user.tenant['tenant_id']}.١"),
    "typ JWT": lambda f: f.sign(typ="JWT"),
    "no typ": lambda f: f.sign(typ=None),
    "another issuer": lambda f: f.sign({"iss": "https://evil.example.com"}),
    "another audience": lambda f: f.sign({"aud": TENANT}),
    "a list of audiences": lambda f: f.sign({"aud": [f.user.tenant["tenant_id"]]}),
    "the sandbox's audience": lambda f: f.sign({"aud": f"{f.user.tenant['tenant_id']}:test"}),
    "marked as of the sandbox": lambda f: f.sign({"test": True}),
    "another user": lambda f: f.sign({"sub": new_id("usr")}),
    "exp is a string": lambda f: f.sign({"exp": str(f.claims["exp"])}),
    "exp is a float": lambda f: f.sign({"exp": f.claims["exp"] + 0.5}),
    "exp is null": lambda f: f.sign({"exp": None}),
    "exp is true": lambda f: f.sign({"exp": True}),
    "exp in the far future": lambda f: f.sign({"exp": 10**30}),
    "exp tomorrow": lambda f: f.sign({"exp": f.claims["exp"] + 86_400}),
    "exp is negative": lambda f: f.sign({"exp": -1}),
    "exp is infinite": lambda f: f.raw(f.header, json.dumps(f.claims | {"exp": float("inf")}).encode()),
    "auth_time in the far future": lambda f: f.sign({"auth_time": 10**17}),
    "auth_time in the far past": lambda f: f.sign({"auth_time": -(10**17)}),
    "iat in the far future": lambda f: f.sign({"iat": 10**30}),
    "no exp": lambda f: f.without("exp"),
    "no sid": lambda f: f.without("sid"),
    "sid is null": lambda f: f.sign({"sid": None}),
    "unknown sid": lambda f: f.sign({"sid": new_id("ses")}),
    "sid with a NUL": lambda f: f.sign({"sid": "ses_\0"}),
    "sid with a lone surrogate": lambda f: f.sign({"sid": "\ud800"}),
    "sid is long": lambda f: f.sign({"sid": "s" * 5000}),
    "claims are a list": lambda f: f.raw(f.header, [f.claims]),
    "claims are nested": lambda f: f.raw(f.header, b"[" * 3000 + b"]" * 3000),
    "claims are not UTF-8": lambda f: f.raw(f.header, b'{"iss":"\xff"}'),
    "header is a list": lambda f: f.raw([f.header], f.claims),
    "header is nothing": lambda f: "." + f.token.partition(".")[2],
    "nothing but dots": lambda _: "..",
    "a refresh token": lambda f: "auth1_rt_" + "0" * 26 + "_0_" + "A" * 43,
    "an API key": lambda f: f.user.tenant["secret_key"],
}


@pytest.fixture(scope="module")
async def forge(api: ApiClient, twilio_server: TwilioServer, database_url: str) -> AsyncIterator[Forge]:
    database = await asyncpg.connect(database_url)
    user = SessionUser([api], await api.tenant(), twilio_server, database)
    yield Forge(user, (await user.log_in())["token"])
    await database.close()


@pytest.mark.parametrize("name", FORGERIES)
async def test_forged_token_is_rejected(forge: Forge, name: str) -> None:
    token = FORGERIES[name](forge)
    assert token != forge.token

    answer = await forge.user.call("GET", SESSIONS, token)

    assert answer.status_code == 401, answer.text
    expected = {"exp is negative": "token_expired", "unknown sid": "session_revoked"}
    assert answer.json()["code"] == expected.get(name, "invalid_token")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert await forge.user.introspect(token) == {"active": False}


async def test_template_of_the_forgeries_is_a_valid_token(forge: Forge) -> None:
    assert await forge.user.is_live(forge.sign())
    assert await forge.user.is_live(forge.sign({"iat": forge.claims["iat"] - 60, "more": {"a": 1}}))


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, "not_authenticated"),
        ("", "not_authenticated"),
        ("Bearer", "not_authenticated"),
        ("Bearer  ", "not_authenticated"),
        ("Basic YTpi", "not_authenticated"),
        ("Bearer x y", "invalid_token"),
        ("Bearer ü", "invalid_token"),
    ],
)
async def test_authorization_header_requires_a_bearer_token(user: SessionUser, value: str | None, code: str) -> None:
    headers = [(b"x-api-key", user.tenant["api_key"].encode())]
    if value is not None:
        headers.append((b"authorization", value.encode("latin-1")))

    answer: httpx.Response = await user.api.client.get(SESSIONS, headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (401, code)
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_token_without_an_api_key_is_rejected(user: SessionUser) -> None:
    login = await user.log_in()

    answer = await user.api.client.get(SESSIONS, headers={"authorization": f"Bearer {login['token']}"})

    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")


async def test_sandbox_and_live_tokens_are_not_interchangeable(user: SessionUser) -> None:
    sandbox = SessionUser(user.apis, user.tenant, user.twilio, user.database, key="test_key")
    live, test = (await user.log_in())["token"], (await sandbox.log_in())["token"]

    assert (await user.call("GET", SESSIONS, live)).status_code == 200
    assert (await sandbox.call("GET", SESSIONS, test)).status_code == 200
    assert (await user.call("GET", SESSIONS, test)).json()["code"] == "invalid_token"
    assert (await sandbox.call("GET", SESSIONS, live)).json()["code"] == "invalid_token"


async def test_token_of_a_clock_that_is_ten_minutes_fast_is_accepted(user: SessionUser) -> None:
    """As a release signs it that does not use the database's clock; `test_clock_skew` has this one's."""
    login = await user.log_in()
    forge = Forge(user, login["token"])

    assert await user.is_live(forge.sign({"iat": forge.claims["iat"] + 600, "exp": forge.claims["exp"] + 600}))
