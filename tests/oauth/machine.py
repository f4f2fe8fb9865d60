"""An application that acts for itself, and calls of its issuer."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.oauth.credentials import basic
from tests.support.api_client import ApiClient

SCOPES = ["invoices:read", "invoices:write"]


@dataclass
class Machine:
    """An application that acts for itself, and its tenant. `sandbox` calls the sandbox's issuer."""

    api: ApiClient
    tenant: dict[str, Any]
    application: dict[str, Any]
    sandbox: bool = False
    address: str | None = None  # of the client, if it matters

    @property
    def client_id(self) -> str:
        return str(self.application["client_id"])

    @property
    def path(self) -> str:
        return f"/t/{self.tenant['slug']}" + ("/test" if self.sandbox else "")

    @property
    def issuer(self) -> str:
        return self.api.settings.app_url + self.path

    @property
    def issuer_id(self) -> str:
        """The tenant_id of the issuer's keys."""
        return str(self.tenant["tenant_id"]) + (":test" if self.sandbox else "")

    async def manage(self, method: str, path: str = "", body: object = None) -> httpx.Response:
        """Call as the tenant below its applications."""
        headers = {"x-api-key": self.tenant["secret_key"]}
        arguments: dict[str, Any] = {} if body is None else {"json": body}
        return await self.api.client.request(method, f"/api/tenant/applications{path}", headers=headers, **arguments)

    async def post(self, endpoint: str, secret: str | None = None, **parameters: str) -> httpx.Response:
        """POST a form, with the client's credentials by HTTP Basic."""
        headers = {"authorization": basic(self.client_id, secret or self.application["client_secret"])}
        if self.address is not None:
            headers["x-forwarded-for"] = self.address
        return await self.api.client.post(f"{self.path}/{endpoint}", data=parameters, headers=headers)

    async def token(self, **parameters: str) -> str:
        """Return an access token."""
        response = await self.post("token", grant_type="client_credentials", **parameters)
        assert response.status_code == 200, response.text
        return str(response.json()["access_token"])

    async def jwks(self) -> dict[str, Any]:
        """Return the issuer's public keys."""
        keys: dict[str, Any] = (await self.api.client.get(f"{self.path}/jwks")).json()
        return keys

    async def is_active(self, token: str) -> bool:
        """Introspect a token."""
        response = await self.post("introspect", token=token)
        assert response.status_code == 200, response.text
        return bool(response.json()["active"])


NewMachine = Callable[..., Awaitable[Machine]]


@pytest.fixture
def new_machine(api: ApiClient) -> NewMachine:
    """Register an application at a new tenant, or at a given one. ES256 keys are made quickly."""

    async def make(tenant: dict[str, Any] | None = None, alg: str = "ES256", *, sandbox: bool = False) -> Machine:
        machine = Machine(api, tenant or await api.tenant(), {}, sandbox)
        body = {"name": "Billing", "kind": "machine", "scopes": SCOPES, "id_token_alg": alg}
        created = await machine.manage("POST", body=body)
        assert created.status_code == 201, created.text
        machine.application = created.json()
        return machine

    return make


@pytest.fixture
async def machine(new_machine: NewMachine) -> Machine:
    return await new_machine()
