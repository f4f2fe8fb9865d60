"""Users and tenants list the applications that have access to an account, and end it."""

from typing import Any

import httpx
import pytest

from tests.account.conftest import NewUser
from tests.account.user import ME, AccountUser, outcome

CONSENTS = f"{ME}/applications"
EMPTY: dict[str, Any] = {"data": [], "next_cursor": None}


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
    shown = (await user.call("GET", f"{CONSENTS}/{client_id}")).json()
    ended = await user.call("DELETE", f"{CONSENTS}/{client_id}")
    again = [await user.call(method, f"{CONSENTS}/{client_id}") for method in ("DELETE", "GET")]

    assert listed == [shown]
    granted_at = shown.pop("granted_at")
    assert shown == {"client_id": client_id, "name": "Wiki", "scopes": ["email", "openid"], "last_used_at": None}
    assert granted_at.startswith("20")
    assert ended.status_code == 204
    assert [outcome(answer) for answer in again] == [(404, "not_found")] * 2
    assert (await user.call("GET", CONSENTS)).json() == EMPTY


async def test_user_does_not_see_or_end_the_access_to_other_accounts(new_user: NewUser) -> None:
    user, other = await new_user(), await new_user()
    client_id = await register(user)
    await consent(other, client_id)

    assert (await user.call("GET", CONSENTS)).json() == EMPTY
    for method in ("DELETE", "GET"):
        assert outcome(await user.call(method, f"{CONSENTS}/{client_id}")) == (404, "not_found")
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
    assert (await call_as_tenant(user, "GET", path)).json() == EMPTY
    row = await user.database.fetchrow(
        "select actor, subject from events where tenant_id = $1 and type = 'consent.revoked'", user.tenant_id
    )
    assert row is not None
    assert (row["actor"][:4], row["subject"]) == ("key_", user.user_id)


async def test_list_of_applications_has_pages(user: AccountUser) -> None:
    client_ids = sorted([await register(user) for _ in range(3)])
    for client_id in client_ids:
        await consent(user, client_id)

    async def mine(query: str) -> httpx.Response:
        return await user.call("GET", f"{CONSENTS}?{query}")

    async def theirs(query: str) -> httpx.Response:
        return await call_as_tenant(user, "GET", f"/users/{user.user_id}/applications?{query}")

    for call in (mine, theirs):
        first = (await call("limit=2")).json()
        second = (await call(f"limit=2&cursor={first['next_cursor']}")).json()

        assert [one["client_id"] for one in first["data"] + second["data"]] == client_ids
        assert (len(second["data"]), second["next_cursor"]) == (1, None)
        for wrong in ("limit=0", "limit=201", "limit=x", "cursor=%00", "page=1"):
            assert outcome(await call(wrong)) == (422, "validation_failed")


async def test_consents_of_an_unknown_user_are_not_found(user: AccountUser) -> None:
    assert outcome(await call_as_tenant(user, "GET", "/users/usr_x/applications")) == (404, "not_found")


async def test_consents_need_a_session(user: AccountUser) -> None:
    answer = await user.call("GET", CONSENTS, token="x")

    assert outcome(answer) == (401, "invalid_token")
