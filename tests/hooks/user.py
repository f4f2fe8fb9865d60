"""A tenant with hooks, its user, and the server that its hooks lead to."""

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import httpx
import jwt

from tests.conftest import new_phone
from tests.support.providers.twilio import Behaviour, Request, TwilioServer, answer
from tests.support.user import TestUser

ALLOW = answer(200, {"decision": "allow"})
DENY = answer(200, {"decision": "deny", "reason": "Not on the list."})
_paths = itertools.count()


def deciding(decision: str, **fields: object) -> Behaviour:
    return answer(200, {"decision": decision, **fields})


@dataclass
class HookServer(TwilioServer):
    """A server in the place of the tenants' hooks. Each hook has a path of its own, with a behaviour."""

    hooks: dict[str, Behaviour] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.behaviour = self._serve_hook

    async def _serve_hook(self, request: Request, writer: Any) -> None:
        await self.hooks[request.path](request, writer)


@dataclass
class HookUser(TestUser):
    """A user with a phone, at a tenant whose hooks a test sets."""

    twilio: TwilioServer
    server: HookServer
    database: asyncpg.Connection
    phone: str = field(default_factory=new_phone)
    paths: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)

    async def call_tenant(self, method: str, path: str, body: object = None) -> httpx.Response:
        headers = {"x-api-key": str(self.tenant["secret_key"])}
        arguments: dict[str, Any] = {} if body is None else {"json": body}
        return await self.api.client.request(method, f"/api/tenant{path}", headers=headers, **arguments)

    async def set_hook(self, hook: str, behaviour: Behaviour = ALLOW, **settings: object) -> dict[str, Any]:
        """Set a hook that behaves so; return the response."""
        path = self.paths.setdefault(hook, f"/{hook}/{next(_paths)}")
        self.server.hooks[path] = behaviour
        body = {"url": self.server.url + path, "on_error": "deny"} | settings
        response = await self.call_tenant("PUT", f"/hooks/{hook}", body)
        assert response.status_code == 200, response.text
        saved: dict[str, Any] = response.json()
        self.secrets[hook] = saved.get("secret", self.secrets.get(hook, ""))
        return saved

    def behave(self, hook: str, behaviour: Behaviour) -> None:
        """Change the behaviour of a hook, and not its settings."""
        self.server.hooks[self.paths[hook]] = behaviour

    def calls(self, hook: str) -> list[Request]:
        return [request for request in self.server.requests if request.path == self.paths[hook]]

    def bodies(self, hook: str) -> list[dict[str, Any]]:
        return [json.loads(request.body) for request in self.calls(hook)]

    async def request(self, key: str | None = None, **fields: object) -> httpx.Response:
        return await self.api.post("/api/auth/request", {"phone": self.phone} | fields, key or self.api_key)

    @property
    def code(self) -> str:
        return self.twilio.code_for(self.phone)

    async def requested(self) -> str:
        """Request a code and return it."""
        response = await self.request()
        assert response.status_code == 200, response.text
        return self.code

    async def verify(self, code: str, key: str | None = None) -> httpx.Response:
        return await self.api.post("/api/auth/verify", {"phone": self.phone, "code": code}, key or self.api_key)

    async def log_in(self) -> dict[str, Any]:
        """Log in; return the tokens."""
        response = await self.verify(await self.requested())
        assert response.status_code == 200, response.text
        tokens: dict[str, Any] = response.json()
        return tokens

    async def refresh(self, tokens: Mapping[str, Any]) -> httpx.Response:
        grant = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
        return await self.api.post("/api/auth/token", grant, self.api_key)

    async def count(self, table: str) -> int:
        number: int = await self.database.fetchval(f"select count(*) from {table} where tenant_id = $1", self.tenant_id)
        return number

    async def events(self) -> list[tuple[str, str, dict[str, Any]]]:
        """Return type, subject and data of all events of hooks, oldest first."""
        rows = await self.database.fetch(
            "select type, subject, data from events where tenant_id = $1 and type = 'hook.updated' order by id",
            self.tenant_id,
        )
        return [(row["type"], row["subject"], json.loads(row["data"])) for row in rows]


def outcome(response: httpx.Response) -> tuple[int, str]:
    """Return the status and the error code of a response."""
    return response.status_code, response.json()["code"] if response.status_code >= 400 else ""


def claims_of(tokens: Mapping[str, Any]) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(tokens["token"], options={"verify_signature": False})
    return claims
