"""A user with an account, and helpers to compare responses."""

import itertools
import re
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import httpx
import jwt

from tests.conftest import new_phone
from tests.support.elapsed import end_resend_delay
from tests.support.providers.smtp import SmtpServer
from tests.support.providers.twilio import TwilioServer
from tests.support.user import TestUser

ME, IDENTIFIERS = "/api/auth/me", "/api/auth/me/identifiers"
_people = itertools.count()


def new_email() -> str:
    """Return an address that no other test uses."""
    return f"ann.{next(_people)}@example.com"


def kind_of(value: str) -> str:
    return "phone" if value.startswith("+") else "email"


def outcome(answer: httpx.Response) -> tuple[int, str]:
    """Return the status and the error code of a response."""
    return answer.status_code, answer.json()["code"] if answer.status_code >= 400 else ""


@dataclass
class AccountUser(TestUser):
    """A user of a tenant with a phone, a mailbox and a session."""

    twilio: TwilioServer
    mail: SmtpServer
    database: asyncpg.Connection
    identifier: str = field(default_factory=new_phone)
    tokens: dict[str, Any] = field(default_factory=dict)

    @property
    def tenant_id(self) -> str:
        return super().tenant_id + (":test" if self.key == "test_key" else "")

    @property
    def user_id(self) -> str:
        return str(self.tokens["user_id"])

    def code(self, identifier: str) -> str:
        """Return the newest code that was sent to an identifier."""
        if self.key == "test_key":
            return "000000"
        if identifier.startswith("+"):
            return self.twilio.code_for(identifier)
        found = re.search(r"^(\d{4,12})\r?$", self.mail.newest(identifier).part("plain"), re.MULTILINE)
        assert found is not None
        return found[1]

    async def log_in(self, identifier: str | None = None) -> dict[str, Any]:
        """Log in and use the new tokens from now on."""
        identifier = identifier or self.identifier
        await self.wait(identifier)
        named = {kind_of(identifier): identifier}
        requested = await self.api.post("/api/auth/request", named, self.api_key)
        assert requested.status_code == 200, requested.text
        verified = await self.api.post("/api/auth/verify", {**named, "code": self.code(identifier)}, self.api_key)
        assert verified.status_code == 200, verified.text
        self.tokens = verified.json()
        return self.tokens

    async def call(
        self, method: str, path: str, body: object = None, token: str | None = None, **more: str
    ) -> httpx.Response:
        """Call with the API key and the session token; `idempotency_key=` becomes the header idempotency-key."""
        headers = {"x-api-key": self.api_key, "authorization": f"Bearer {token or self.tokens['token']}"}
        headers |= {name.replace("_", "-"): value for name, value in more.items()}
        arguments: dict[str, Any] = {} if body is None else {"json": body}
        return await self.api.client.request(method, path, headers=headers, **arguments)

    async def me(self, token: str | None = None) -> httpx.Response:
        return await self.call("GET", ME, token=token)

    async def begin(self, identifier: str, challenge_id: str | None = None, **headers: str) -> httpx.Response:
        body = {kind_of(identifier): identifier} | ({"challenge_id": challenge_id} if challenge_id else {})
        return await self.call("POST", IDENTIFIERS, body, **headers)

    async def prove(self, identifier: str, code: str | None = None, **more: object) -> httpx.Response:
        body = {kind_of(identifier): identifier, "code": code or self.code(identifier), **more}
        return await self.call("POST", f"{IDENTIFIERS}/verify", body)

    async def add(self, identifier: str) -> None:
        """Add an identifier, or replace the present one of its type."""
        begun = await self.begin(identifier)
        assert begun.status_code == 200, begun.text
        proved = await self.prove(identifier)
        assert proved.status_code == 200, proved.text

    async def remove(self, kind: str) -> httpx.Response:
        return await self.call("DELETE", f"{IDENTIFIERS}/{kind}")

    async def identifiers(self) -> list[str]:
        """Return the identifiers of the user from the API."""
        answer = await self.call("GET", IDENTIFIERS)
        assert answer.status_code == 200, answer.text
        return [one["value"] for one in answer.json()["data"]]

    def age(self, seconds: int) -> None:
        """Move auth_time of the session token into the past."""
        token = self.tokens["token"]
        claims = jwt.decode(token, options={"verify_signature": False})
        claims["auth_time"] -= seconds
        headers = jwt.get_unverified_header(token)
        self.tokens["token"] = jwt.encode(claims, self.tenant["jwt_secret"], algorithm="HS256", headers=headers)

    async def wait(self, identifier: str) -> None:
        """End the resend delay of an identifier."""
        await end_resend_delay(self.database, identifier)

    async def owner(self, identifier: str) -> str | None:
        user_id: str | None = await self.database.fetchval(
            "select user_id from identifiers where tenant_id = $1 and identifier = $2", self.tenant_id, identifier
        )
        return user_id

    async def events(self, *types: str) -> list[asyncpg.Record]:
        """Return the tenant's events of some types, oldest first."""
        return await self.database.fetch(
            "select * from events where tenant_id = $1 and type = any($2) order by id", self.tenant_id, list(types)
        )

    async def notices(self) -> list[tuple[str, str, str]]:
        """Return the type, recipient and state of each notice of the tenant."""
        rows = await self.database.fetch(
            "select notice, identifier, state from messages where tenant_id = $1 and notice is not null order by id",
            self.tenant_id,
        )
        return [(row["notice"], row["identifier"], row["state"]) for row in rows]

    async def flush(self) -> None:
        """Run the outbox until it has tried all messages of the tenant: a run takes a few, also of other tenants."""
        queued = "select exists (select from messages where tenant_id = $1 and state = 'queued')"
        await self.api.services.outbox.run_once()
        while await self.database.fetchval(queued, self.tenant_id):
            await self.api.services.outbox.run_once()
