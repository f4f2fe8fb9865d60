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

# Each reads tokens and what to check them with, and says of each what it found.
PYTHON = """
import json, sys
tokens, secrets, tenant_id, issuer = json.load(sys.stdin)
keys = keys_of(issuer) if "keys_of" in globals() else secrets
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
const keys = Object.keys(secrets).length ? new Map(Object.entries(secrets)) : await keysOf(issuer);
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
            signed[algorithm] = Signed(auth1, tenant, token, algorithm, key or tenant["jwt_secret"])
        yield signed


def run(directory: Path, name: str, tokens: list[str], secrets: dict[str, str], signed: Signed) -> list[Any]:
    file = directory / name
    file.write_text(SNIPPETS[name] + (PYTHON if name.endswith(".py") else JAVASCRIPT))
    program = sys.executable if name.endswith(".py") else NODE or ""
    done = subprocess.run(
        [program, str(file)],
        input=json.dumps([tokens, secrets, signed.tenant["tenant_id"], signed.auth1.url]),
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
    secrets = {kid: signed.tenant["jwt_secret"]} if algorithm == "HS256" else {}
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
    found = run(tmp_path, name, [signed.token, signed.forge(sub="usr_else"), *bad], secrets, signed)

    good, changed, *refused = found
    assert good == claims
    assert changed["sub"] == "usr_else", "a forged token is signed well: its words are refused"
    assert [taken for taken in refused if not isinstance(taken, str)] == []
