"""Management of webhooks: by the tenant and by the operator, with the same handlers."""

import asyncio
import base64
from typing import Any

import pytest

from auth1.endpoint_secrets import decrypt_secret
from tests.webhooks.conftest import URL, Owner

MISSING = "/whk_01kf0fv2z4z60fen5rnweennx2"


def secret_of(text: str) -> bytes:
    return base64.b64decode(text.removeprefix("whsec_"), validate=True)


async def stored_secrets(owner: Owner, webhook: dict[str, Any]) -> list[bytes | None]:
    """Return the current and the previous secret of a webhook, decrypted."""
    row = await owner.database.fetchrow(
        "select secret, previous_secret from webhooks where id = $1", webhook["webhook_id"]
    )
    assert row is not None
    return [box and decrypt_secret(owner.services.keyring, owner.tenant_id, webhook["webhook_id"], box) for box in row]


async def events_of(owner: Owner, webhook: dict[str, Any]) -> list[tuple[str, str]]:
    rows = await owner.database.fetch(
        "select type, data::text from events where subject = $1 order by tx, id", webhook["webhook_id"]
    )
    return [(row["type"], row["data"]) for row in rows]


async def test_new_webhook_has_a_secret_that_is_shown_once(owner: Owner) -> None:
    made = await owner.webhook("challenge.answered", "user.created")
    shown = (await owner.call("GET", f"/{made['webhook_id']}")).json()
    [listed] = (await owner.call("GET", "")).json()["data"]

    assert made["webhook_id"].startswith("whk_")
    assert len(secret_of(made.pop("secret"))) == 32
    assert made == shown == listed
    assert (made["url"], made["events"], made["enabled"]) == (URL, ["challenge.answered", "user.created"], True)


async def test_secret_is_stored_encrypted_for_its_webhook_only(owner: Owner) -> None:
    first, second = await owner.webhook(), await owner.webhook()
    boxes = {
        row["id"]: row["secret"]
        for row in await owner.database.fetch("select id, secret from webhooks where tenant_id = $1", owner.tenant_id)
    }

    assert await stored_secrets(owner, first) == [secret_of(first["secret"]), None]
    assert secret_of(first["secret"]) not in boxes[first["webhook_id"]]
    swapped = boxes[first["webhook_id"]]
    assert decrypt_secret(owner.services.keyring, owner.tenant_id, second["webhook_id"], swapped) is None


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "https://10.0.0.1/",
        "https://[::1]/",
        "https://user@example.com/",
        "https://example.com:22/",
        "https://example.com/#fragment",
        "https://2130706433/",
        "https://auth.example.com/webhooks",
        "ftp://example.com/",
        "",
        "https://example.com/" + "a" * 2048,
    ],
)
async def test_url_that_can_never_be_called_is_rejected(owner: Owner, url: str) -> None:
    webhook = await owner.webhook()

    created = await owner.call("POST", "", {"url": url, "events": ["*"]})
    changed = await owner.call("PATCH", f"/{webhook['webhook_id']}", {"url": url})

    for answer in (created, changed):
        assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed"), answer.text
        assert [error["field"] for error in answer.json()["errors"]] == ["url"]


@pytest.mark.parametrize("events", [[], ["user.invented"], ["*", "user.created"], ["user.created", "user.created"]])
async def test_unknown_or_repeated_types_are_rejected(owner: Owner, events: list[str]) -> None:
    answer = await owner.call("POST", "", {"url": URL, "events": events})

    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["events"]


async def test_eleventh_webhook_is_rejected_even_at_a_barrier(owner: Owner) -> None:
    for _ in range(7):
        await owner.webhook()

    answers = await asyncio.gather(*(owner.call("POST", "", {"url": URL, "events": ["*"]}) for _ in range(8)))

    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [409] * 5
    listed = (await owner.call("GET", "")).json()["data"]
    assert len(listed) == 10
    await owner.call("DELETE", f"/{listed[0]['webhook_id']}")
    assert (await owner.webhook())["webhook_id"]


async def test_list_has_pages(owner: Owner) -> None:
    made = [(await owner.webhook())["webhook_id"] for _ in range(3)]

    first = (await owner.call("GET", "?limit=2")).json()
    second = (await owner.call("GET", f"?limit=2&cursor={first['next_cursor']}")).json()

    assert [webhook["webhook_id"] for page in (first, second) for webhook in page["data"]] == sorted(made)
    assert second["next_cursor"] is None


async def test_operator_manages_the_same_webhooks(owner: Owner) -> None:
    path = f"/api/admin/tenants/{owner.tenant_id}/webhooks"
    made = (await owner.api.admin("POST", path, {"url": URL, "events": ["*"]})).json()
    shown = (await owner.call("GET", f"/{made['webhook_id']}")).json()
    disabled = await owner.api.admin("PATCH", f"{path}/{made['webhook_id']}", {"enabled": False})

    assert shown["webhook_id"] == made["webhook_id"]
    assert (disabled.json()["enabled"], disabled.json()["disabled_reason"]) == (False, "caller")


async def test_repeat_with_an_idempotency_key_creates_one_webhook(owner: Owner) -> None:
    answers = [
        await owner.call("POST", "", {"url": URL, "events": ["*"]}, idempotency_key="create-once") for _ in range(2)
    ]

    assert answers[0].json() == answers[1].json()
    assert len((await owner.call("GET", "")).json()["data"]) == 1


async def test_another_tenants_webhook_is_not_found(owner: Owner) -> None:
    webhook = await owner.webhook()
    other = await owner.api.tenant()
    stranger = Owner(owner.api, owner.database, other["tenant_id"], other["secret_key"])

    for path in (f"/{webhook['webhook_id']}", MISSING):
        answers = [
            await stranger.call("GET", path),
            await stranger.call("PATCH", path, {"enabled": False}),
            await stranger.call("POST", f"{path}/rotate-secret"),
            await stranger.call("POST", f"{path}/test"),
            await stranger.call("GET", f"{path}/deliveries"),
            await stranger.call("POST", f"{path}/replay"),
            await stranger.call("POST", f"{path}/cancel"),
            await stranger.call("DELETE", path),
        ]
        assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(404, "not_found")}
    assert (await owner.call("GET", f"/{webhook['webhook_id']}")).json()["enabled"]


async def test_changes_write_events_without_urls_or_secrets(owner: Owner) -> None:
    webhook = await owner.webhook("user.created")
    path = f"/{webhook['webhook_id']}"
    for change in ({"url": URL + "/2", "events": ["*"]}, {"enabled": False}, {"enabled": False}, {}):
        assert (await owner.call("PATCH", path, change)).status_code == 200
    await owner.call("POST", f"{path}/rotate-secret")
    await owner.call("DELETE", path)

    assert await events_of(owner, webhook) == [
        ("webhook.created", '{"events": ["user.created"]}'),
        ("webhook.updated", '{"changed": ["url", "events"]}'),
        ("webhook.updated", '{"changed": ["enabled"]}'),
        ("webhook.updated", '{"changed": ["secret"]}'),
        ("webhook.deleted", "{}"),
    ]


async def test_deleted_webhook_keeps_no_secret(owner: Owner) -> None:
    webhook = await owner.webhook()

    assert (await owner.call("DELETE", f"/{webhook['webhook_id']}")).status_code == 204

    assert (await owner.call("DELETE", f"/{webhook['webhook_id']}")).status_code == 404
    assert (await owner.call("GET", "")).json()["data"] == []
    row = await owner.database.fetchrow("select * from webhooks where id = $1", webhook["webhook_id"])
    assert row is not None
    assert (row["secret"], row["previous_secret"], row["is_enabled"]) == (b"", None, False)


async def test_rotation_keeps_the_previous_secret_for_its_grace(owner: Owner) -> None:
    webhook = await owner.webhook()
    path = f"/{webhook['webhook_id']}/rotate-secret"

    rotated = (await owner.call("POST", path)).json()

    assert await stored_secrets(owner, webhook) == [secret_of(rotated["secret"]), secret_of(webhook["secret"])]
    shown = (await owner.call("GET", f"/{webhook['webhook_id']}")).json()
    assert shown["previous_secret_until"] == rotated["previous_secret_until"]
    grace = "select extract(epoch from previous_secret_until - now())::int from webhooks where id = $1"
    assert await owner.database.fetchval(grace, webhook["webhook_id"]) == pytest.approx(86400, abs=60)

    at_once = (await owner.call("POST", path, {"grace_in": 0})).json()
    assert await stored_secrets(owner, webhook) == [secret_of(at_once["secret"]), None]
    assert at_once["previous_secret_until"] is None


async def test_two_rotations_at_once_leave_both_of_their_secrets(owner: Owner) -> None:
    webhook = await owner.webhook()
    path = f"/{webhook['webhook_id']}/rotate-secret"

    for _ in range(5):
        answers = await asyncio.gather(*(owner.call("POST", path) for _ in range(2)))
        secrets = {secret_of(answer.json()["secret"]) for answer in answers}

        assert set(await stored_secrets(owner, webhook)) == secrets


async def test_enabling_clears_failures_and_wakes_the_webhook(owner: Owner) -> None:
    webhook = await owner.webhook()
    await owner.database.execute(
        """update webhooks set is_enabled = false, disabled_reason = 'failing', failures = 12, due_at = null,
           failing_since = now() - interval '5 days', paused_until = now() + interval '1 day' where id = $1""",
        webhook["webhook_id"],
    )
    failing = (await owner.call("GET", f"/{webhook['webhook_id']}")).json()

    enabled = (await owner.call("PATCH", f"/{webhook['webhook_id']}", {"enabled": True})).json()

    assert (failing["enabled"], failing["disabled_reason"]) == (False, "failing")
    assert (enabled["enabled"], enabled["disabled_reason"], enabled["failing_since"]) == (True, None, None)
    due = "select due_at <= now() and paused_until < now() and failures = 0 from webhooks where id = $1"
    assert await owner.database.fetchval(due, webhook["webhook_id"])
