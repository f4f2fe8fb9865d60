"""The logo of a tenant: upload, delivery, emails and pages."""

import re
import secrets
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx
import pytest

from tests.conftest import Started
from tests.support.api_client import ADMIN_TOKEN, ApiClient
from tests.support.png import chunk, png
from tests.support.providers.smtp import SmtpServer

APP_URL = "https://auth.example.com"
PATH = "/api/tenant/logo"


@pytest.fixture(scope="module")
async def mail() -> AsyncIterator[SmtpServer]:
    async with SmtpServer() as server:
        yield server


@pytest.fixture(scope="module")
async def api(start_app: Started, mail: SmtpServer) -> ApiClient:
    return await start_app(SMTP_URL=mail.url, EMAIL_FROM="no-reply@example.com", APP_URL=APP_URL)


@pytest.fixture
async def tenant(api: ApiClient) -> dict[str, Any]:
    return await api.tenant(sms_branding="My & App", rate_limit_per_hour=100)


def image() -> bytes:
    return png(secrets.randbelow(1000) + 1, 4, secrets.randbelow(256))


async def put(api: ApiClient, tenant: dict[str, Any], body: bytes, media_type: str = "image/png") -> httpx.Response:
    headers = {"x-api-key": tenant["secret_key"], "content-type": media_type}
    return await api.client.put(PATH, content=body, headers=headers)


async def delete(api: ApiClient, tenant: dict[str, Any]) -> int:
    return (await api.client.delete(PATH, headers={"x-api-key": tenant["secret_key"]})).status_code


async def uploaded(api: ApiClient, tenant: dict[str, Any], body: bytes) -> str:
    """Upload a logo and return its path."""
    response = await put(api, tenant, body)
    assert response.status_code == 200, response.text
    url: str = response.json()["url"]
    assert url.startswith(f"{APP_URL}/logos/")
    return url.removeprefix(APP_URL)


async def test_uploaded_logo_is_served_for_ever_under_its_digest(api: ApiClient, tenant: dict[str, Any]) -> None:
    body = image()
    path = await uploaded(api, tenant, body)

    response = await api.client.get(path)

    assert (response.status_code, response.content) == (200, body)
    assert response.headers["content-type"] == "image/png"
    assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["content-security-policy"] == "default-src 'none'"
    unchanged = await api.client.get(path, headers={"if-none-match": response.headers["etag"]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    for unknown in ("/logos/" + "0" * 32 + ".png", path.upper().replace("/LOGOS", "/logos"), path[:-4], path + "x"):
        assert (await api.client.get(unknown)).status_code == 404


async def test_new_logo_replaces_the_old_one_and_delete_removes_it(api: ApiClient, tenant: dict[str, Any]) -> None:
    first, second = await uploaded(api, tenant, image()), await uploaded(api, tenant, png(8, 8))
    assert (await api.client.get(first)).status_code == 404
    assert (await api.client.get(second)).status_code == 200

    assert [await delete(api, tenant) for _ in range(2)] == [204, 204]
    assert (await api.client.get(second)).status_code == 404


async def test_operator_manages_the_logo_and_only_changes_write_events(api: ApiClient, tenant: dict[str, Any]) -> None:
    path = f"/api/admin/tenants/{tenant['tenant_id']}/logo"
    headers = {"authorization": f"Bearer {ADMIN_TOKEN}", "content-type": "image/png"}
    body = image()

    for _ in range(2):
        assert (await api.client.put(path, content=body, headers=headers)).status_code == 200
    for _ in range(2):
        assert (await api.client.delete(path, headers=headers)).status_code == 204

    database = await asyncpg.connect(api.settings.database_url)
    query = "select actor, data ->> 'changed' from events where tenant_id = $1 and type = 'tenant.updated'"
    rows = await database.fetch(query, tenant["tenant_id"])
    await database.close()
    assert [tuple(row) for row in rows] == [("operator", '["settings.logo"]')] * 2


@pytest.mark.parametrize(
    ("body", "media_type", "status"),
    [
        (b"<svg/>", "image/png", 422),
        (png()[:-1], "image/png", 422),
        (png(1025, 1), "image/png", 422),
        (b"", "image/png", 422),
        (png(), "image/svg+xml", 415),
        (png() + b"x" * 64 * 1024, "image/png", 413),
    ],
)
async def test_invalid_image_is_rejected_and_the_logo_stays(
    api: ApiClient, tenant: dict[str, Any], body: bytes, media_type: str, status: int
) -> None:
    path = await uploaded(api, tenant, image())

    response = await put(api, tenant, body, media_type)

    assert response.status_code == status
    assert (await api.client.get(path)).status_code == 200


async def test_image_of_64_kib_is_accepted(api: ApiClient, tenant: dict[str, Any]) -> None:
    body = png(extra=chunk(b"tEXt", b"x" * (64 * 1024 - len(png()) - 12)))
    assert len(body) == 64 * 1024

    assert (await put(api, tenant, body)).status_code == 200


async def test_logo_is_read_only_among_the_settings(api: ApiClient, tenant: dict[str, Any]) -> None:
    digest = (await uploaded(api, tenant, image())).rpartition("/")[2].removesuffix(".png")
    headers = {"x-api-key": tenant["secret_key"]}
    settings = (await api.client.get("/api/tenant/settings", headers=headers)).json()
    assert settings["logo"] == digest
    del settings["email_from"], settings["sms_senders"]
    for budget in ("messages_per_day", "sms_budget_per_day", "sms_budget_soft"):
        del settings[budget]

    assert (await api.client.patch("/api/tenant/settings", json=settings, headers=headers)).status_code == 200
    for other in (None, "0" * 32):
        response = await api.client.patch("/api/tenant/settings", json={"logo": other}, headers=headers)
        assert response.status_code == 422
        assert response.json()["errors"][0]["field"] == "logo"


async def test_emails_and_pages_show_the_logo_with_the_name_as_text(
    api: ApiClient, tenant: dict[str, Any], mail: SmtpServer
) -> None:
    path, address = await uploaded(api, tenant, image()), f"ann.{secrets.token_hex(4)}@example.com"
    requested = await api.post("/api/auth/request", {"email": address, "mode": "both"}, tenant["api_key"])
    assert requested.status_code == 200, requested.text

    received = mail.newest(address)
    assert re.findall(r'<img src="([^"]*)" alt="([^"]*)"', received.part("html")) == [(APP_URL + path, "My &amp; App")]
    assert "My & App" in received.part("plain")
    assert path not in received.part("plain")

    link = received.link.removeprefix(APP_URL)
    for response in (await api.client.get(link), await api.client.post(link), await api.client.get(link)):
        assert f'<img class="logo" src="{path}"' in response.text
        assert "; img-src 'self'; " in response.headers["content-security-policy"]


async def test_preview_shows_the_logo(api: ApiClient, tenant: dict[str, Any]) -> None:
    path = await uploaded(api, tenant, image())

    preview = await api.post("/api/tenant/texts/preview", {"channel": "email"}, tenant["secret_key"])

    assert f'<img src="{APP_URL}{path}"' in preview.json()["html"]
