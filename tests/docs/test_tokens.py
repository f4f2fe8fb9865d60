"""Run the snippets of docs/tokens.md with tokens of the real application and with forged ones."""

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from auth1.dev.processes import free_port
from tests.conftest import new_phone
from tests.support.process import Auth1
from tests.support.providers.twilio import TwilioServer

PAGE = Path(__file__).parents[2] / "docs" / "tokens.md"
SNIPPETS = dict(re.findall(r"<!-- run ([\w.]+) -->\n```\w+\n(.*?)```\n", PAGE.read_text(), re.DOTALL))
NODE = shutil.which("node")

OTHER_SECRET = "the-other-jwt-secret-of-the-operator-0123456789"

# Each reads tokens and what to check them with, and prints the claims or the error of each.
PYTHON = """
import json, sys
tokens, secrets, tenant_id, issuer = json.load(sys.stdin)
keys = keys_of(issuer) if "keys_of" in globals() else secrets_of(secrets)
found = []
for token in tokens:
    try:
        found.append(check(token, keys, tenant_id, issuer))
    except jwt.PyJWTError as error:
        found.append(str(error))
print(json.dumps(found))
"""
JAVASCRIPT = """
const [tokens, secrets, tenantId, issuer] = JSON.parse(await new Response(process.stdin).text());
const keys = secrets ? secretsOf(secrets) : await keysOf(issuer);
const found = [];
for (const token of tokens) {
  try { found.push(await check(token, keys, tenantId, issuer)); } catch (error) { found.push(String(error)); }
}
console.log(JSON.stringify(found));
"""


@dataclass
class Signed:
    """An application, its tenant, a session token and its signing key."""

    auth1: Auth1
    tenant: dict[str, Any]
    token: str
    algorithm: str
    key: Any
    secrets: dict[str, Any] | None  # for HS256: the response of GET /api/tenant/jwt-secret

    def forge(self, headers: Mapping[str, object] = {}, **claims: object) -> str:
        """Return the token with other claims, signed with the same key. A claim of None is left out."""
        changed = jwt.decode(self.token, options={"verify_signature": False}) | claims
        kept = {name: value for name, value in changed.items() if value is not None}
        return jwt.encode(kept, self.key, self.algorithm, jwt.get_unverified_header(self.token) | dict(headers))


@pytest.fixture(scope="module")
async def all_signed(
    environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory, twilio_server: TwilioServer
) -> AsyncIterator[dict[str, Signed]]:
    private: dict[str, Any] = {
        "ES256": ec.generate_private_key(ec.SECP256R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate(),
    }
    signed = {}
    async with AsyncExitStack() as stack:
        for algorithm in ("HS256", "ES256", "EdDSA"):
            port = str(free_port())
            changes = {"PORT": port, "APP_URL": f"http://127.0.0.1:{port}", "JWT_ALGORITHM": algorithm}
            if algorithm == "HS256":
                changes["JWT_SECRET_PREVIOUS"] = OTHER_SECRET
            if key := private.get(algorithm):
                changes["JWT_PRIVATE_KEY"] = key.private_bytes(
                    Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
                ).decode()
            log = tmp_path_factory.mktemp(algorithm) / "log"
            auth1 = await stack.enter_async_context(Auth1(environment | changes, log))
            body = {"name": "My App", "slug": f"docs-{algorithm.lower()}"}
            tenant = (await auth1.operator("POST", "/api/admin/tenants", body)).json()
            phone = new_phone()
            await auth1.post("/api/auth/request", {"phone": phone}, tenant["api_key"])
            answer = {"phone": phone, "code": twilio_server.code_for(phone)}
            verified = await auth1.post("/api/auth/verify", answer, tenant["api_key"])
            token = verified.json()["token"]
            secrets = None
            if algorithm == "HS256":
                found = await auth1.client.get("/api/tenant/jwt-secret", headers={"x-api-key": tenant["secret_key"]})
                secrets = found.json()
            signed[algorithm] = Signed(auth1, tenant, token, algorithm, key or tenant["jwt_secret"], secrets)
        yield signed


def run(directory: Path, name: str, tokens: list[str], signed: Signed) -> list[Any]:
    file = directory / name
    file.write_text(SNIPPETS[name] + (PYTHON if name.endswith(".py") else JAVASCRIPT))
    program = sys.executable if name.endswith(".py") else NODE or ""
    done = subprocess.run(
        [program, str(file)],
        input=json.dumps([tokens, signed.secrets, signed.tenant["tenant_id"], signed.auth1.url]),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found: list[Any] = json.loads(done.stdout)
    return found


def test_every_snippet_is_run() -> None:
    assert set(SNIPPETS) == {"hs256.py", "jwks.py", "check.mjs"}
    assert PAGE.read_text().count("```") == 2 * len(SNIPPETS)


@pytest.mark.parametrize(
    ("name", "algorithm"),
    [
        ("hs256.py", "HS256"),
        ("jwks.py", "ES256"),
        ("jwks.py", "EdDSA"),
        *(("check.mjs", algorithm) for algorithm in ("HS256", "ES256", "EdDSA")),
    ],
)
def test_snippet_accepts_valid_tokens_and_rejects_forged_ones(
    all_signed: dict[str, Signed], tmp_path: Path, name: str, algorithm: str
) -> None:
    if name.endswith(".mjs") and NODE is None:
        pytest.skip("no Node.js is installed here")
    signed = all_signed[algorithm]
    kid = jwt.get_unverified_header(signed.token)["kid"]
    head, body, signature = signed.token.split(".")
    claims = jwt.decode(signed.token, options={"verify_signature": False})
    now = int(time.time())
    bad = [
        *(token for other, of_other in all_signed.items() if other != algorithm for token in [of_other.token]),
        signed.forge(aud=f"{signed.tenant['tenant_id']}:test"),
        signed.forge(aud=signed.tenant["tenant_id"][:-1]),
        signed.forge(iss="http://127.0.0.1:1"),
        signed.forge(exp=now - 60),
        signed.forge(exp=None),
        signed.forge({"typ": "JWT"}),
        signed.forge({"kid": "another"}),
        signed.forge({"kid": "__proto__"}),
        jwt.encode(claims, "", "none", {"typ": "at+jwt", "kid": kid}),
        jwt.encode(claims, "a secret that is not the tenant's", "HS256", {"typ": "at+jwt", "kid": kid}),
        f"{head}.{body}.{signature[:-8]}AAAAAAAA",
        f"{head}.{body[:-4]}AAAA.{signature}",
        f"{head}.{body}.",
        f"{head}.{body}",
        "not a token",
        "",
    ]
    found = run(tmp_path, name, [signed.token, signed.forge(sub="usr_else"), *bad], signed)

    good, changed, *rejected = found
    assert good == claims
    assert changed["sub"] == "usr_else", "a forged token is signed well: its words are rejected"
    assert [taken for taken in rejected if not isinstance(taken, str)] == []


@pytest.mark.parametrize("name", ["hs256.py", "check.mjs"])
def test_snippet_accepts_both_secrets_of_a_kid(all_signed: dict[str, Signed], tmp_path: Path, name: str) -> None:
    """The operator changes JWT_SECRET: a tenant has two secrets, and the kid of its tokens stays the same."""
    if name.endswith(".mjs") and NODE is None:
        pytest.skip("no Node.js is installed here")
    signed = all_signed["HS256"]
    header = jwt.get_unverified_header(signed.token)
    claims = jwt.decode(signed.token, options={"verify_signature": False})
    assert signed.secrets is not None
    (other,) = signed.secrets["others"]
    assert other["kid"] == header["kid"]
    assert other["jwt_secret"] != signed.secrets["jwt_secret"]
    by_other = jwt.encode(claims, other["jwt_secret"], "HS256", header)
    by_other_expired = jwt.encode(claims | {"exp": int(time.time()) - 60}, other["jwt_secret"], "HS256", header)

    found = run(tmp_path, name, [signed.token, by_other, by_other_expired], signed)

    assert found[:2] == [claims, claims]
    assert isinstance(found[2], str)
