"""Visitors of a tenant: requests for codes from any address to any number, and what follows from them."""

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncpg
import httpx

from auth1.fraud.verification import settle
from tests.support.providers.twilio import TwilioServer

if TYPE_CHECKING:
    from tests.fraud.conftest import ManagedTenant

BLOCK = "+1212555"  # of 10,000 numbers in the United States


def outcome(answer: httpx.Response) -> str:
    """Return "sent", or the code of the error."""
    return "sent" if answer.status_code == 200 else str(answer.json()["code"])


def solve(proof: dict[str, Any]) -> dict[str, str]:
    """Solve proof of work; return the field `proof` of the next request."""
    for number in range(proof["maxnumber"] + 1):
        if hashlib.sha256(f"{proof['salt']}{number}".encode()).hexdigest() == proof["challenge"]:
            names = ("algorithm", "challenge", "salt", "signature")
            solution = {name: proof[name] for name in names} | {"number": number}
            return {"kind": "pow", "payload": base64.b64encode(json.dumps(solution).encode()).decode()}
    raise AssertionError("the proof has no solution")


@dataclass
class Visitors:
    """Anyone who requests codes from one tenant."""

    managed: "ManagedTenant"
    twilio: TwilioServer
    database: asyncpg.Connection
    key: str = "api_key"

    @property
    def tenant_id(self) -> str:
        return self.managed.tenant_id

    async def request(
        self, phone: str, address: str | None = "198.51.100.1", *, proof: object = None, **headers: str
    ) -> httpx.Response:
        """Request a code from an address."""
        if address is not None:
            headers["auth1_forwarded_for" if self.key == "secret_key" else "x_forwarded_for"] = address
        body = {"phone": phone} | ({"proof": proof} if proof is not None else {})
        return await self.managed.api.post("/api/auth/request", body, self.managed.made[self.key], **headers)

    async def verify(self, phone: str, address: str = "198.51.100.1", code: str | None = None) -> httpx.Response:
        """Submit the code of the newest message, or another one."""
        body = {"phone": phone, "code": code or self.twilio.code_for(phone)}
        name = "auth1_forwarded_for" if self.key == "secret_key" else "x_forwarded_for"
        return await self.managed.api.post("/api/auth/verify", body, self.managed.made[self.key], **{name: address})

    async def log_in(self, phone: str, address: str = "198.51.100.1") -> None:
        """Log in, and settle what follows."""
        assert outcome(await self.request(phone, address)) == "sent"
        assert (await self.verify(phone, address)).status_code == 200
        await self.settle()

    async def settle(self) -> None:
        """Run the background jobs of the fraud rules."""
        services = self.managed.api.services
        await settle(services)
        await services.limiter.flush_releases()
        await services.decisions.flush()
        await services.attacks.flush()

    async def change_policy(self, **changes: object) -> None:
        """Change fields of the policy."""
        policy = (await self.managed.call("GET", "/fraud/policy")).json() | changes
        answer = await self.managed.call("PUT", "/fraud/policy", policy)
        assert answer.status_code == 200, answer.text

    async def decisions(self, **query: str) -> list[dict[str, Any]]:
        """Return the tenant's decisions, newest first."""
        answer = await self.managed.call("GET", "/fraud/decisions", params=query)
        assert answer.status_code == 200, answer.text
        data: list[dict[str, Any]] = answer.json()["data"]
        return data

    async def events(self, event_type: str) -> list[dict[str, Any]]:
        """Return the data of the tenant's events of a type, oldest first."""
        rows = await self.database.fetch(
            "select data from events where tenant_id = $1 and type = $2 order by id", self.tenant_id, event_type
        )
        return [json.loads(row["data"]) for row in rows]
