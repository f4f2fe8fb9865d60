"""Hooks are set, shown and deleted; their secrets are shown when they are new."""

import pytest

from tests.hooks.user import DENY, HookUser, outcome

URL = "https://example.com/hooks"


async def test_hook_is_created_shown_changed_and_deleted(user: HookUser) -> None:
    missing = await user.call_tenant("GET", "/hooks/before_send")
    created = await user.call_tenant("PUT", "/hooks/before_send", {"url": URL, "on_error": "deny", "timeout_in": 0.25})
    shown = await user.call_tenant("GET", "/hooks/before_send")
    same = await user.call_tenant("PUT", "/hooks/before_send", {"url": URL, "on_error": "deny", "timeout_in": 0.25})
    changed = await user.call_tenant("PUT", "/hooks/before_send", {"url": URL, "on_error": "allow"})
    deleted = await user.call_tenant("DELETE", "/hooks/before_send")
    again = await user.call_tenant("DELETE", "/hooks/before_send")

    assert outcome(missing) == outcome(again) == (404, "not_found")
    assert created.json()["secret"].startswith("whsec_")
    assert shown.json() == {name: value for name, value in created.json().items() if name != "secret"}
    assert (shown.json()["hook"], shown.json()["timeout_in"]) == ("before_send", 0.25)
    assert "secret" not in same.json() | changed.json()
    assert (changed.json()["on_error"], changed.json()["timeout_in"]) == ("allow", 1.0)
    assert deleted.status_code == 204
    assert await user.events() == [
        ("hook.updated", "before_send", {"changed": ["url", "on_error", "timeout_in", "secret"], "is_set": True}),
        ("hook.updated", "before_send", {"changed": ["on_error", "timeout_in"], "is_set": True}),
        ("hook.updated", "before_send", {"changed": [], "is_set": False}),
    ]


async def test_secret_is_rotated_with_an_overlap(user: HookUser) -> None:
    first = await user.set_hook("before_send")
    second = await user.set_hook("before_send", rotate_secret=True)
    third = await user.set_hook("before_send", rotate_secret=True, grace_in=0)

    assert len({first["secret"], second["secret"], third["secret"]}) == 3
    assert first["previous_secret_until"] is None
    assert second["previous_secret_until"] is not None
    assert third["previous_secret_until"] is None
    assert [data["changed"] for _, _, data in await user.events()][1:] == [["secret"], ["secret"]]


async def test_deleted_hook_gets_a_new_secret(user: HookUser) -> None:
    first = await user.set_hook("before_token")
    await user.call_tenant("DELETE", "/hooks/before_token")
    second = await user.set_hook("before_token")

    assert first["secret"] != second["secret"]
    assert second["previous_secret_until"] is None


async def test_stored_secret_is_encrypted(user: HookUser) -> None:
    saved = await user.set_hook("before_send")
    stored = await user.database.fetchval("select secret from hooks where tenant_id = $1", user.tenant_id)

    assert saved["secret"].removeprefix("whsec_").encode() not in stored


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"url": "http://example.com", "on_error": "deny"}, None),  # allowed where networks are
        ({"url": "https://user@example.com", "on_error": "deny"}, "url"),
        ({"url": "https://10.0.0.1/hook", "on_error": "deny"}, "url"),
        ({"url": URL, "on_error": "ignore"}, "on_error"),
        ({"url": URL}, "on_error"),
        ({"url": URL, "on_error": "deny", "timeout_in": 1.1}, "timeout_in"),
        ({"url": URL, "on_error": "deny", "timeout_in": 0}, "timeout_in"),
        ({"url": URL, "on_error": "deny", "cache_for": 60}, "cache_for"),
    ],
)
async def test_hook_with_an_invalid_field_is_rejected(
    user: HookUser, body: dict[str, object], field: str | None
) -> None:
    response = await user.call_tenant("PUT", "/hooks/before_send", body)

    if field is None:
        assert response.status_code == 200
        return
    assert outcome(response) == (422, "validation_failed")
    assert [error["field"] for error in response.json()["errors"]] == [field]


async def test_unknown_hook_is_not_found(user: HookUser) -> None:
    for method, body in (("GET", None), ("PUT", {"url": URL, "on_error": "deny"}), ("DELETE", None)):
        assert outcome(await user.call_tenant(method, "/hooks/after_login", body)) == (404, "not_found")


async def test_operator_manages_the_hooks_of_a_tenant(user: HookUser) -> None:
    path = f"/api/admin/tenants/{user.tenant_id}/hooks/before_token"
    created = await user.api.admin("PUT", path, {"url": URL, "on_error": "allow"})
    shown = await user.call_tenant("GET", "/hooks/before_token")
    deleted = await user.api.admin("DELETE", path)

    assert created.json()["secret"].startswith("whsec_")
    assert shown.json()["url"] == URL
    assert deleted.status_code == 204


async def test_change_of_a_hook_applies_to_the_next_request(user: HookUser) -> None:
    before = await user.request()
    await user.set_hook("before_send", DENY)
    denied = await user.request()
    await user.call_tenant("DELETE", "/hooks/before_send")
    after = await user.request()

    assert outcome(before) == (200, "")
    assert outcome(denied) == (403, "hook_denied")
    assert outcome(after) == (429, "resend_too_soon")
