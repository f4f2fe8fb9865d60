"""A user that logs in by a link, and helpers to compare responses."""

import asyncio
import base64
import hashlib
import itertools
import secrets
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import httpx

from tests.support.providers.smtp import Received, SmtpServer
from tests.support.user import TestUser

APP_URL = "https://auth.example.com"


CALLBACK = "https://app.example.com/cb"


_people = itertools.count()


def new_address() -> str:
    """Return an address that no other test uses."""
    return f"ben.{next(_people)}@example.com"


@dataclass
class LinkUser(TestUser):
    """A user of a tenant with a browser tab and a mailbox."""

    server: SmtpServer
    email: str

    async def request(self, **fields: object) -> httpx.Response:
        body = {"email": self.email, "mode": "link"} | fields
        return await self.api.post("/api/auth/request", body, self.api_key)

    async def ask(self, **fields: object) -> dict[str, Any]:
        requested = await self.request(**fields)
        assert requested.status_code == 200, requested.text
        answer: dict[str, Any] = requested.json()
        return answer

    @property
    def mail(self) -> Received:
        return self.server.newest(self.email)

    @property
    def path(self) -> str:
        """Return the path of the newest link."""
        return self.mail.link.removeprefix(APP_URL)

    async def open(self, method: str = "GET", path: str | None = None, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.api.client.request(method, path or self.path, headers=named)

    async def confirm(self, path: str | None = None, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named = {"content-type": "application/x-www-form-urlencoded", "origin": "null"} | named
        return await self.api.client.post(path or self.path, headers=named)

    async def token(self, key: str | None = None, **grant: Any) -> httpx.Response:
        return await self.api.post("/api/auth/token", grant, key or self.api_key)

    async def redeem(self, requested: dict[str, Any], key: str | None = None) -> httpx.Response:
        """Redeem the link from the requesting tab."""
        named = {name: requested[name] for name in ("challenge_id", "challenge_secret")}
        return await self.token(key, grant_type="challenge", **named)

    async def exchange(self, code: str, verifier: str, key: str | None = None) -> httpx.Response:
        return await self.token(key, grant_type="authorization_code", code=code, code_verifier=verifier)

    async def verify(self, code: str, **fields: object) -> httpx.Response:
        return await self.api.post("/api/auth/verify", {"email": self.email, "code": code} | fields, self.api_key)


def pkce() -> tuple[str, str]:
    """Return a PKCE verifier and its challenge."""
    verifier = secrets.token_urlsafe(32)
    digest = hashlib.sha256(verifier.encode()).digest()
    return verifier, base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def code_in(answer: httpx.Response) -> str:
    assert answer.status_code == 303, answer.text
    [code] = parse_qs(urlsplit(answer.headers["location"]).query)["code"]
    return code


def is_rejected(answer: httpx.Response, status: int, code: str) -> bool:
    return (answer.status_code, answer.json()["code"]) == (status, code)


def is_expired_page(answer: httpx.Response) -> bool:
    return answer.status_code == 400 and "This link no longer works" in answer.text


async def at_a_barrier(count: int, *acts: Any) -> list[httpx.Response]:
    """Run all calls concurrently, `count` times each."""
    barrier = asyncio.Barrier(count * len(acts))

    async def run(act: Any) -> httpx.Response:
        await barrier.wait()
        answer: httpx.Response = await act()
        return answer

    return list(await asyncio.gather(*(run(act) for act in acts for _ in range(count))))


async def sessions_of(database: asyncpg.Connection, user: LinkUser) -> int:
    count: int = await database.fetchval("select count(*) from sessions where tenant_id = $1", user.tenant["tenant_id"])
    return count


def opening(user: LinkUser) -> Any:
    """Return a function that opens a path with GET."""

    async def get(path: str) -> httpx.Response:
        return await user.open("GET", path)

    return get
