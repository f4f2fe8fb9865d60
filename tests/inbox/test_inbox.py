"""The inbox shows what `auth1 dev` sends, to the developer's own browser only."""

import re
from pathlib import Path

from auth1.cli.dev import DEMO_BACKCHANNEL_URI, DEMO_LOGOUT_URIS
from auth1.inbox.store import MAX_MESSAGES, InboxStore
from auth1.messaging.providers.protocol import OutgoingMessage
from tests.cli.test_dev import paste
from tests.conftest import new_phone
from tests.inbox.conftest import Dev
from tests.support.api_client import ApiClient
from tests.support.process import Auth1


async def test_sms_and_email_are_shown_by_every_worker(dev: Dev) -> None:
    phone = new_phone()
    await dev.request(phone=phone)
    await dev.request(email="ann@example.com", mode="both")

    for _ in range(6):  # each request may reach another worker
        email, sms = (await dev.messages())[:2]
        assert (sms["channel"], sms["to"]) == ("sms", phone)
        assert (email["channel"], email["to"]) == ("email", "ann@example.com")
    code = re.search(r"code is: (\d+)", sms["text"])
    assert code is not None
    assert (await dev.server.answer(phone, code[1], dev.key)).status_code == 200


async def test_html_of_an_email_runs_no_script_and_opens_links_in_a_new_tab(dev: Dev) -> None:
    await dev.request(email="bea@example.com", mode="link")
    [email] = [message for message in await dev.messages() if message["to"] == "bea@example.com"]

    response = await dev.client.get(f"/dev/inbox/messages/{email['id']}")

    policy = response.headers["content-security-policy"]
    assert "sandbox allow-popups" in policy
    assert "allow-scripts" not in policy
    assert "default-src 'none'" in policy
    assert '<base target="_blank">' in response.text
    assert "/api/auth/link/" in response.text


async def test_unchanged_inbox_returns_not_modified(dev: Dev) -> None:
    headers = {"x-auth1-inbox": "1"}
    first = await dev.client.get("/dev/inbox/messages", headers=headers)
    again = await dev.client.get("/dev/inbox/messages", headers=headers | {"if-none-match": first.headers["etag"]})

    assert (first.status_code, again.status_code, again.content) == (200, 304, b"")


async def test_other_pages_cannot_read_the_inbox(dev: Dev) -> None:
    client = dev.client
    evil = {"origin": "https://evil.example"}

    assert (await client.get("/dev/inbox/messages", headers=evil)).status_code == 403
    preflight = {"access-control-request-method": "GET", "access-control-request-headers": "x-auth1-inbox"}
    answer = await client.options("/dev/inbox/messages", headers=evil | preflight)
    assert "access-control-allow-origin" not in answer.headers
    answer = await client.get("/dev/inbox/messages", headers=evil | {"x-auth1-inbox": "1"})
    assert "access-control-allow-origin" not in answer.headers
    rebound = {"host": f"evil.example:{dev.server.port}", "x-auth1-inbox": "1"}
    assert (await client.get("/dev/inbox/messages", headers=rebound)).status_code == 403


async def test_repeated_requests_are_not_rate_limited_in_dev(dev: Dev) -> None:
    phone = new_phone()
    for _ in range(8):
        await dev.request(phone=phone)
        code = re.search(r"code is: (\d+)", (await dev.messages())[0]["text"])
        assert code is not None
        assert (await dev.server.answer(phone, code[1], dev.key)).status_code == 200


async def test_neighbouring_numbers_are_not_rejected_in_dev(dev: Dev) -> None:
    for number in range(25):
        await dev.request(phone=f"+1555765{4000 + number}")


async def test_inbox_can_be_cleared(dev: Dev) -> None:
    await dev.request(phone=new_phone())
    headers = {"x-auth1-inbox": "1"}

    assert (await dev.client.delete("/dev/inbox/messages", headers=headers)).status_code == 204
    assert await dev.messages() == []


async def test_unknown_paths_below_the_inbox_are_404(dev: Dev) -> None:
    for path in ("/dev/inbox/", "/dev/inbox/other", "/dev/inbox/messages/none"):
        assert (await dev.client.get(path)).status_code == 404


async def test_banner_names_the_inbox_and_the_reference(dev: Dev) -> None:
    text = dev.server.text()

    assert f"http://localhost:{dev.server.port}/dev/inbox" in text
    assert f"http://localhost:{dev.server.port}/docs" in text
    assert text.startswith("Applying migrations")


async def test_banner_has_what_a_client_needs_for_logouts(dev: Dev) -> None:
    text = dev.server.text()
    patch = re.search(r"^ +(curl -X PATCH .*)$", text, re.MULTILINE)
    assert patch is not None

    assert all(f" {uri}\n" in text for uri in DEMO_LOGOUT_URIS)
    application = paste(patch[1])
    assert application["logout_uris"] == DEMO_LOGOUT_URIS
    assert application["backchannel_logout_uri"] == DEMO_BACKCHANNEL_URI


async def test_store_is_bounded(api: ApiClient) -> None:
    store = InboxStore(api.services.redis, api.services.log)
    await store.clear()
    for number in range(MAX_MESSAGES + 5):
        await store.add(OutgoingMessage("tn_1", f"msg_{number}", "+12015550100", "text", 600))

    assert [message.id for message in await store.messages()][:1] == [f"msg_{MAX_MESSAGES + 4}"]
    assert len(await store.messages()) == MAX_MESSAGES
    await store.clear()


async def test_serve_has_no_inbox(environment: dict[str, str], tmp_path: Path) -> None:
    async with Auth1(environment | {"SMS_PROVIDERS": "console"}, tmp_path / "log") as server:
        for path in ("/dev/inbox", "/dev/inbox/messages"):
            assert (await server.client.get(path, headers={"x-auth1-inbox": "1"})).status_code == 404
