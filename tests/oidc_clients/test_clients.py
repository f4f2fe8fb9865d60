"""Each client logs in, refreshes and logs out by its configuration alone, at a tenant's issuer and at its sandbox's."""

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.oidc_clients.clients import CLIENTS, INSTALLED, Client, copy_node_scripts, free_port, running
from tests.oidc_clients.visitor import Visitor
from tests.support.process import Auth1
from tests.support.providers.smtp import SmtpServer

pytestmark = pytest.mark.skipif(not INSTALLED.exists(), reason="`just oidc-clients` installs the clients")
SANDBOX_CODE = "000000"


@pytest.fixture(scope="module")
async def mail() -> AsyncIterator[SmtpServer]:
    async with SmtpServer() as server:
        yield server


@pytest.fixture(scope="module")
async def auth1(
    environment: dict[str, str], mail: SmtpServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Auth1]:
    port = str(free_port())
    changes = {"SMTP_URL": mail.url, "EMAIL_FROM": "no-reply@example.com", "PORT": port}
    changes["APP_URL"] = f"http://127.0.0.1:{port}"
    copy_node_scripts()
    async with Auth1(environment | changes, tmp_path_factory.mktemp("auth1") / "log") as auth1:
        yield auth1


@pytest.mark.parametrize("sandbox", [False, True], ids=["tenant", "sandbox"])
@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
async def test_client_logs_in_refreshes_and_logs_out(
    auth1: Auth1, mail: SmtpServer, tmp_path: Path, client: Client, sandbox: bool
) -> None:
    assert client.needs.exists(), "run `just oidc-clients`"
    tenant, port = await auth1.tenant(), free_port()
    url = f"http://127.0.0.1:{port}"
    body = {
        "name": "Wiki",
        "kind": "web",
        "redirect_uris": [url + client.callback],
        "logout_uris": [f"{url}/bye"],
        "require_pkce": client.uses_pkce,
    }
    applications = f"/api/admin/tenants/{tenant['tenant_id']}/applications"
    application = (await auth1.operator("POST", applications, body)).json()
    issuer = f"{auth1.url}/t/{tenant['slug']}" + ("/test" if sandbox else "")
    environment = {
        "ISSUER": issuer,
        "CLIENT_ID": application["client_id"],
        "CLIENT_SECRET": application.get("client_secret", ""),
    }
    email = f"{secrets.token_hex(6)}@example.com"
    visitor = Visitor(email, lambda: SANDBOX_CODE if sandbox else mail.newest(email).code)

    async with visitor.client, running(client, tmp_path, port, environment) as start:
        shown = await visitor.open(start)
        assert email in shown.text, (visitor.steps, shown.text)
        if client.refreshes:
            refreshed = (await visitor.open(f"{url}/refresh")).json()
            assert (refreshed["email"], refreshed["sub"], refreshed["rotated"]) == (email, shown.json()["sub"], True)
        if client.logout:
            ended = await visitor.open(url + client.logout.format(url=url))
            assert ended.url.path == "/bye" or not client.comes_back, visitor.steps
            visitor.read_code = None
            assert "/login/" in (await visitor.open(start)).url.path, "the session has ended at Auth1, too"
