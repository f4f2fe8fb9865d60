"""An application of a new tenant, and calls of its issuer."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import httpx
import pytest

from tests.oauth.login_app import LoginApp
from tests.oauth.machine import machine as machine
from tests.oauth.machine import new_machine as new_machine
from tests.support.api_client import ApiClient

NewLoginApp = Callable[..., Awaitable[LoginApp]]


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


def error(response: httpx.Response) -> tuple[int, str]:
    """Return the status and the code of an OAuth error."""
    body = response.json()
    assert set(body) == {"error", "error_description"}
    assert response.headers["cache-control"] == "no-store"
    return response.status_code, body["error"]


@pytest.fixture
def new_login_app(api: ApiClient, database: asyncpg.Connection) -> NewLoginApp:
    """Register an application with logins at a new tenant, or at a given one, with a user whose login is done."""

    async def make(
        tenant: dict[str, Any] | None = None,
        *,
        require_pkce: bool = True,
        first_party: bool = False,
        **options: Any,
    ) -> LoginApp:
        app = LoginApp(api, database, tenant or await api.tenant(), **options)
        await app.create(require_pkce=require_pkce, first_party=first_party)
        return app

    return make


@pytest.fixture
async def login_app(new_login_app: NewLoginApp) -> LoginApp:
    return await new_login_app()


@pytest.fixture
async def machine_like(login_app: LoginApp, new_login_app: NewLoginApp) -> LoginApp:
    """Return an application of kind machine with logins, which no route allows."""
    app = await new_login_app(login_app.tenant)
    await app.database.execute("update applications set kind = 'machine' where id = $1", app.client_id)
    return app


@pytest.fixture
async def browser(api: ApiClient) -> AsyncIterator[httpx.AsyncClient]:
    """Return a browser with its own cookies, which follows no redirect."""
    async with api.new_client() as client:
        yield client
