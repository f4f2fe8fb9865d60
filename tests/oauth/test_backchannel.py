"""Back-channel logout: each end of a session reaches its applications, with retries, and once."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from urllib.parse import parse_qs

import asyncpg
import jwt
import pytest

from auth1.oauth.backchannel import APPLICATION_CALLS
from tests.conftest import Started
from tests.oauth.login_app import LoginApp
from tests.support.api_client import ApiClient
from tests.support.receiver import Receiver

EVENT = "http://schemas.openid.net/event/backchannel-logout"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as server:
        yield server


@pytest.fixture(scope="module")
async def logout_api(start_app: Started) -> ApiClient:
    return await start_app(WEBHOOK_ALLOWED_NETWORKS="127.0.0.0/8")


@pytest.fixture
async def app(logout_api: ApiClient, database: asyncpg.Connection, receiver: Receiver) -> LoginApp:
    """Return an application with an address for logouts, whose user has logged in."""
    app = LoginApp(logout_api, database, await logout_api.tenant())
    await app.create()
    await listen(app, receiver)
    await app.tokens(scopes=["openid"])
    return app


async def listen(app: LoginApp, receiver: Receiver) -> None:
    await app.change(backchannel_logout_uri=receiver.url)


async def manage(app: LoginApp, method: str, path: str) -> None:
    await app.api.manage(app.tenant, method, path)


async def end_session(app: LoginApp) -> None:
    await manage(app, "DELETE", f"/users/{app.user_id}/sessions/{app.session_id}")


async def deliver(app: LoginApp) -> None:
    await app.api.services.logouts.run_once(app.api.services)


async def pending(app: LoginApp) -> int:
    rows: int = await app.database.fetchval("select count(*) from logout_messages where tenant_id = $1", app.tenant_id)
    return rows


async def test_application_gets_a_signed_logout_token(app: LoginApp, receiver: Receiver) -> None:
    await end_session(app)
    await deliver(app)
    await deliver(app)

    [call] = receiver.calls
    assert call.headers["content-type"] == "application/x-www-form-urlencoded"
    [token] = parse_qs(call.body.decode())["logout_token"]
    claims = await app.verify(token, app.client_id)
    assert (claims["sub"], claims["sid"], claims["events"]) == (app.user_id, app.session_id, {EVENT: {}})
    assert claims["exp"] - claims["iat"] == 120
    assert claims["jti"]
    assert "nonce" not in claims
    assert jwt.get_unverified_header(token)["typ"] == "logout+jwt"
    assert await pending(app) == 0


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/users/{user_id}/sessions"),
        ("POST", "/users/{user_id}/ban"),
        ("DELETE", "/users/{user_id}"),
        ("DELETE", "/sessions"),
    ],
)
async def test_each_end_of_a_session_reaches_the_application(
    app: LoginApp, receiver: Receiver, method: str, path: str
) -> None:
    await manage(app, method, path.format(user_id=app.user_id))
    await deliver(app)

    assert len(receiver.calls) == 1
    assert await pending(app) == 0


async def test_tenant_that_ends_all_sessions_reaches_every_application(
    app: LoginApp, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auth1.oauth.backchannel.BATCH", 2)
    for _ in range(4):
        await app.open_session()
        await app.tokens(scopes=["openid"])
    await manage(app, "DELETE", "/sessions")
    await deliver(app)

    assert len(receiver.calls) == 5
    assert await pending(app) == 0


async def test_end_of_a_session_ends_its_grants_in_the_same_statement(app: LoginApp) -> None:
    await app.tokens(scopes=["openid", "offline_access"])
    await end_session(app)

    rows = await app.database.fetch(
        "select is_offline, revoked_at is null as live from grants where client_id = $1 order by 1", app.client_id
    )
    assert [(row["is_offline"], row["live"]) for row in rows] == [(False, False), (True, True)]


async def test_expiry_and_sessions_of_the_api_reach_no_application(app: LoginApp, receiver: Receiver) -> None:
    await app.database.execute("update sessions set expires_at = now() where id = $1", app.session_id)
    await deliver(app)
    await app.database.execute("update sessions set kind = 'api' where id = $1", app.session_id)
    await end_session(app)
    await deliver(app)

    assert receiver.calls == []
    assert await pending(app) == 0


async def test_several_logins_of_a_session_are_one_logout(app: LoginApp, receiver: Receiver) -> None:
    await app.tokens(scopes=["openid"])
    await end_session(app)
    await deliver(app)

    assert len(receiver.calls) == 1


async def test_application_without_an_address_gets_nothing(app: LoginApp, receiver: Receiver) -> None:
    await app.change(backchannel_logout_uri=None)
    await end_session(app)

    assert (await pending(app), receiver.calls) == (0, [])


async def test_failed_logout_is_retried_and_given_up_with_an_event(app: LoginApp, receiver: Receiver) -> None:
    receiver.answer = lambda call: 500
    await end_session(app)
    for attempt in range(1, 4):
        await deliver(app)
        assert (len(receiver.calls), await pending(app)) == (attempt, 1 if attempt < 3 else 0)
        await deliver(app)  # too early
        await app.database.execute("update logout_messages set due_at = now() where tenant_id = $1", app.tenant_id)

    event = await app.database.fetchrow(
        "select subject, data::jsonb ->> 'error' as error from events where tenant_id = $1 and type = $2",
        *(app.tenant_id, "application.logout_failed"),
    )
    assert event is not None
    assert (event["subject"], event["error"]) == (app.client_id, "status_500")


async def test_private_address_is_not_called(api: ApiClient, app: LoginApp, receiver: Receiver) -> None:
    await end_session(app)
    await api.services.logouts.run_once(api.services)  # the settings of this application allow no private address

    assert (receiver.calls, await pending(app)) == ([], 1)
    await app.database.execute("delete from logout_messages where tenant_id = $1", app.tenant_id)


async def test_workers_at_once_deliver_once(app: LoginApp, receiver: Receiver) -> None:
    await end_session(app)

    await asyncio.gather(*(deliver(app) for _ in range(10)))

    assert len(receiver.calls) == 1


async def test_slow_application_delays_no_other(
    app: LoginApp, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auth1.oauth.backchannel.INTERVAL_S", 0.01)
    answered = asyncio.Event()

    async def answer_late() -> int:
        await answered.wait()
        return 204

    async with Receiver(lambda call: answer_late()) as slow:
        await listen(app, slow)
        for _ in range(5):
            await app.tokens(scopes=["openid"])
            await end_session(app)
            await app.open_session()
        sending = asyncio.create_task(deliver(app))
        await slow.wait_for(APPLICATION_CALLS)
        neighbour = LoginApp(app.api, app.database, app.tenant)  # another application of the tenant
        await neighbour.create()
        await listen(neighbour, receiver)
        for _ in range(3):
            await neighbour.tokens(scopes=["openid"])
            await end_session(neighbour)
            await neighbour.open_session()
        await receiver.wait_for(3)

        assert (len(slow.calls), slow.most_at_once) == (APPLICATION_CALLS, APPLICATION_CALLS)
        answered.set()
        await sending
        assert (len(slow.calls), slow.most_at_once, await pending(app)) == (5, APPLICATION_CALLS, 0)


async def test_calls_of_a_tenant_are_limited_by_second(
    app: LoginApp, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [10.0]
    monkeypatch.setattr("auth1.oauth.backchannel.time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr("auth1.oauth.backchannel.TENANT_CALLS_PER_S", APPLICATION_CALLS)
    for _ in range(4):
        await end_session(app)
        await app.open_session()
        await app.tokens(scopes=["openid"])
    await deliver(app)
    assert (len(receiver.calls), await pending(app)) == (APPLICATION_CALLS, 4 - APPLICATION_CALLS)

    now[0] += 1
    await deliver(app)
    assert await pending(app) == 0


async def test_logout_of_a_deleted_application_or_tenant_is_dropped(app: LoginApp, receiver: Receiver) -> None:
    await end_session(app)
    await app.api.admin("DELETE", f"/api/admin/tenants/{app.tenant_id}")
    await deliver(app)

    assert (receiver.calls, await pending(app)) == ([], 0)


async def test_sandbox_signs_with_its_own_issuer(
    logout_api: ApiClient, database: asyncpg.Connection, receiver: Receiver
) -> None:
    app = LoginApp(logout_api, database, await logout_api.tenant(), sandbox=True)
    await app.create()
    await listen(app, receiver)
    await app.tokens(scopes=["openid"])
    await database.execute("update sessions set revoked_at = now() where id = $1", app.session_id)
    await deliver(app)

    [call] = receiver.calls
    [token] = parse_qs(call.body.decode())["logout_token"]
    assert (await app.verify(token, app.client_id))["test"] is True


async def test_address_for_logouts_is_set_changed_and_removed(app: LoginApp, receiver: Receiver) -> None:
    headers = {"x-api-key": app.tenant["secret_key"]}
    call, path = app.api.client.request, "/api/tenant/applications"
    body = {"name": "Shop", "kind": "web", "redirect_uris": ["https://app.example.com/"]}
    created = await call("POST", path, headers=headers, json=body | {"backchannel_logout_uri": receiver.url})
    path += f"/{created.json()['client_id']}"

    removed = await call("PATCH", path, headers=headers, json={"backchannel_logout_uri": None})
    unchanged = await call("PATCH", path, headers=headers, json={"name": "Store"})
    rejected = await call("PATCH", path, headers=headers, json={"backchannel_logout_uri": "ftp://app.example.com"})

    assert created.json()["backchannel_logout_uri"] == receiver.url
    assert [answer.json()["backchannel_logout_uri"] for answer in (removed, unchanged)] == [None, None]
    assert (rejected.status_code, rejected.json()["errors"][0]["field"]) == (422, "backchannel_logout_uri")
