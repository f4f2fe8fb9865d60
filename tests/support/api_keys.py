"""Helpers that manage a tenant's API keys as the operator."""

import zlib
from typing import Any

from tests.support.api_client import TENANTS, VERIFY, ApiClient

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
SHOWN = {"key_id", "kind", "hint", "allowed_origins", "created_at", "expires_at", "revoked_at"}


def checksum(text: str) -> str:
    """Return the checksum of a key: CRC-32 in six base-62 digits."""
    number, digits = zlib.crc32(text.encode()), ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        digits = DIGITS[digit] + digits
    return digits


def made_up(kind: str) -> str:
    """Return a well-formed key that does not exist."""
    body = f"auth1_{kind}_myapp_" + "a" * 32
    return body + checksum(body)


async def code_for(api: ApiClient, key: str, **headers: str) -> str | None:
    """Return the error code for a key; None when the key is valid."""
    code: str = (await api.post(VERIFY, {}, key, **headers)).json()["code"]
    return None if code == "validation_failed" else code


async def add(api: ApiClient, tenant: dict[str, Any], **wanted: object) -> dict[str, Any]:
    answer = await api.admin("POST", f"{TENANTS}/{tenant['tenant_id']}/keys", {"kind": "pk", **wanted})
    assert answer.status_code == 201, answer.text
    key: dict[str, Any] = answer.json()
    return key


async def listed(api: ApiClient, tenant: dict[str, Any]) -> list[dict[str, Any]]:
    keys: list[dict[str, Any]] = (await api.admin("GET", f"{TENANTS}/{tenant['tenant_id']}/keys")).json()["data"]
    return keys


async def end(api: ApiClient, tenant: dict[str, Any], key_id: str) -> None:
    assert (await api.admin("DELETE", f"{TENANTS}/{tenant['tenant_id']}/keys/{key_id}")).status_code == 204


async def rotate(api: ApiClient, tenant: dict[str, Any], key_id: str, **body: object) -> dict[str, Any]:
    answer = await api.admin("POST", f"{TENANTS}/{tenant['tenant_id']}/keys/{key_id}/rotate", body)
    assert answer.status_code == 201, answer.text
    key: dict[str, Any] = answer.json()
    return key


async def patch(api: ApiClient, tenant: dict[str, Any], key_id: str, **body: object) -> dict[str, Any]:
    answer = await api.admin("PATCH", f"{TENANTS}/{tenant['tenant_id']}/keys/{key_id}", body)
    assert answer.status_code == 200, answer.text
    key: dict[str, Any] = answer.json()
    return key
