"""Users and tenants list the applications that have access to an account, and end it."""

from typing import Any

import httpx
import pytest

from tests.account.conftest import NewUser
from tests.account.user import ME, AccountUser, outcome

CONSENTS = f"{ME}/applications"


async def register(user: AccountUser) -> str:
    """Register an application of the user's tenant; return its id."""
    body: dict[str, Any] = {"name": "Wiki", "kind": "spa", "redirect_uris": ["https://wiki.example.com/"]}
    created = await call_as_tenant(user, "POST", "/applications", body | {"id_token_alg": "ES256"})
    return str(created.json()["client_id"])


async def call_as_tenant(user: AccountUser, method: str, path: str, body: object = None) -> httpx.Response:
    headers = {"x-api-key": user.tenant["secret_key"]}
    arguments: dict[str, Any] = {} if body is None else {"json": body}
    return await user.api.client.request(method, f"/api/tenant{path}", headers=headers, **arguments)


async def consent(user: AccountUser, client_id: str) -> None:
    statement = "insert into consents (tenant_id, user_id, client_id, scopes) values ($1, $2, $3, '{email,openid}')"
    await user.database.execute(statement, user.tenant_id, user.user_id, client_id)


@pytest.mark.parametrize("key", ["api_key", "test_key"])
async def test_user_lists_and_ends_the_access_of_an_application(new_user: NewUser, key: str) -> None:
    user = await new_user(key=key)
    client_id = await register(user)
    await consent(user, client_id)

    listed = (await user.call("GET", CONSENTS)).json()["data"]
    ended = await user.call("DELETE", f"{CONSENTS}/{client_id}")
    again = await user.call("DELETE", f"{CONSENTS}/{client_id}")

    granted_at = listed[0].pop("granted_at")
    assert listed == [{"client_id": client_id, "name": "Wiki", "scopes": ["email", "openid"], "last_used_at": None}]
    assert granted_at.startswith("20")
    assert ended.status_code == 204
    assert outcome(again) == (404, "not_found")
    assert (await user.call("GET", CONSENTS)).json() == {"data": []}


async def test_user_does_not_see_or_end_the_access_to_other_accounts(new_user: NewUser) -> None:
    user, other = await new_user(), await new_user()
    client_id = await register(user)
    await consent(other, client_id)

    assert (await user.call("GET", CONSENTS)).json() == {"data": []}
    assert outcome(await user.call("DELETE", f"{CONSENTS}/{client_id}")) == (404, "not_found")
    assert len((await other.call("GET", CONSENTS)).json()["data"]) == 1


async def test_tenant_lists_and_ends_the_access_to_an_account(user: AccountUser) -> None:
    client_id = await register(user)
    await consent(user, client_id)
    path = f"/users/{user.user_id}/applications"

    listed = (await call_as_tenant(user, "GET", path)).json()["data"]
    ended = await call_as_tenant(user, "DELETE", f"{path}/{client_id}")

    assert [one["client_id"] for one in listed] == [client_id]
    assert ended.status_code == 204
    assert outcome(await call_as_tenant(user, "DELETE", f"{path}/{client_id}")) == (404, "not_found")
    assert (await call_as_tenant(user, "GET", path)).json() == {"data": []}
    row = await user.database.fetchrow(
        "select actor, subject from events where tenant_id = $1 and type = 'consent.revoked'", user.tenant_id
    )
    assert row is not None
    assert (row["actor"][:4], row["subject"]) == ("key_", user.user_id)


async def test_consents_of_an_unknown_user_are_not_found(user: AccountUser) -> None:
    assert outcome(await call_as_tenant(user, "GET", "/users/usr_x/applications")) == (404, "not_found")


async def test_consents_need_a_session(user: AccountUser) -> None:
    answer = await user.call("GET", CONSENTS, token="x")

    assert outcome(answer) == (401, "invalid_token")
