"""Invalid and unexpected JSON bodies are rejected and cause no server error."""

import json
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.api_client import ADMIN_TOKEN, REQUEST, TENANTS, VERIFY, ApiClient
from tests.support.effort import effort
from tests.support.providers.twilio import TwilioServer


async def send(api: ApiClient, path: str, tenant: dict[str, str], body: bytes, method: str = "POST") -> httpx.Response:
    """Send bytes as JSON with every credential that a route may need."""
    headers = {
        "x-api-key": tenant["api_key"],
        "authorization": f"Bearer {ADMIN_TOKEN}",
        "content-type": "application/json",
    }
    return await api.client.request(method, path, content=body, headers=headers)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"{}}",
        b"{'phone': 1}",
        b'{"phone": "\xff"}',
        b'{"ph\xc3one": "1"}',
        b'\xef\xbb\xbf{"phone": "1"}',
        b'{"phone": "1",}',
        b'{"phone": NaN}',
        b'{"phone": "\\ud800"}',
        b'{"phone": "\\udc00\\ud800"}',
        b'{"phone": "a\nb"}',
        b'{"metadata": {"a": ' + b"[" * 16_000,
        b'{"metadata": {"a": ' + b"[" * 8_000 + b"]" * 8_000 + b"}}",
        b'{"metadata": ' + b'{"a":' * 3_000,
        '{"phone": "1"}'.encode("utf-16"),
    ],
    ids=lambda body: repr(body[:24]),
)
async def test_invalid_json_or_utf_8_is_bad_json(api: ApiClient, tenant: dict[str, str], body: bytes) -> None:
    answer = await send(api, REQUEST, tenant, body)

    assert (answer.status_code, answer.json()["code"]) == (400, "bad_json")


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", "The body is empty: send a JSON object."),
        (b"\n", "The body is empty: send a JSON object."),
        (
            b'{\n  "phone": "+15551234567",\n}',
            "The body is not valid JSON: trailing comma in object, in line 3 (byte 29).",
        ),
        (b"{'phone': '+15551234567'}", "The body is not valid JSON: object keys must be strings, in line 1 (byte 1)."),
        (b'{"phone": "+15551234567"', "The body is not valid JSON in UTF-8."),
    ],
)
async def test_bad_json_names_its_place(api: ApiClient, tenant: dict[str, str], body: bytes, detail: str) -> None:
    assert (await send(api, REQUEST, tenant, body)).json()["detail"] == detail


@pytest.mark.parametrize("document", ["null", "true", "0", "[]", '"phone"', '["phone"]', "-1e400", "1" * 5000])
async def test_json_that_is_not_an_object_fails_validation(
    api: ApiClient, tenant: dict[str, str], document: str
) -> None:
    assert (await send(api, REQUEST, tenant, document.encode())).json()["code"] == "validation_failed"


async def test_hundred_thousand_brackets_are_too_large(api: ApiClient, tenant: dict[str, str]) -> None:
    assert (await send(api, REQUEST, tenant, b"[" * 100_000)).json()["code"] == "payload_too_large"


async def test_last_duplicate_json_key_wins(
    api: ApiClient, tenant: dict[str, str], twilio_server: TwilioServer, phone: str
) -> None:
    answer = await send(api, REQUEST, tenant, f'{{"phone": "+15551234567", "phone": "{phone}"}}'.encode())

    assert answer.status_code == 200
    assert len(twilio_server.sent_to(phone)) == 1


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (REQUEST, {"phone": "+15551234567", "colour": "blue"}, "colour"),
        (REQUEST, {"phone": "+15551234567", "Phone": "+15551234567"}, "Phone"),
        (REQUEST, {"phone": "+15551234567", "x" * 200: 1}, "x" * 64 + "…"),
        (REQUEST, {}, "phone"),
        (REQUEST, {"phone": "+15551234567", "email": "a@example.com"}, "phone"),
        (REQUEST, {"phone": 15551234567}, "phone"),
        (REQUEST, {"phone": "+15551234567", "mode": "magic"}, "mode"),
        (REQUEST, {"phone": "+15551234567", "metadata": []}, "metadata"),
        (REQUEST, {"phone": "+15551234567", "metadata": {"a": "é" * 512}}, "metadata"),
        (REQUEST, {"phone": "+15551234567", "metadata": {"a": [1e308] * 150}}, "metadata"),
        (REQUEST, {"phone": "+15551234567", "metadata": {"a": {"b": -1e-300}}}, "metadata"),
        (REQUEST, {"phone": "+15551234567", "challenge_id": "ch_1"}, "challenge_id"),
        (VERIFY, {"phone": "+15551234567"}, "code"),
        (VERIFY, {"phone": "+15551234567", "code": 123456}, "code"),
        (VERIFY, {"phone": "+15551234567", "code": "１２３４５６"}, "code"),
        (VERIFY, {"phone": "+15551234567", "code": "123456\n"}, "code"),
        (VERIFY, {"phone": "+15551234567", "code": "1234567890123"}, "code"),
        (VERIFY, {"phone": "+15551234567", "code": "123456", "device": {"name": "a", "os": "b"}}, "device.os"),
        (VERIFY, {"phone": "+15551234567", "code": "123456", "device": {"name": "a\r\nb"}}, "device.name"),
        (TENANTS, {"name": "My App"}, "slug"),
        (TENANTS, {"name": "My App", "slug": "myapp", "settings": {"colour": 1}}, "settings.colour"),
        (TENANTS, {"name": "My App", "slug": "myapp", "settings": {"otp_length": 10**30}}, "settings.otp_length"),
    ],
)
async def test_validation_error_names_the_field(
    api: ApiClient, tenant: dict[str, str], path: str, body: dict[str, Any], field: str
) -> None:
    answer = await send(api, path, tenant, json.dumps(body).encode())

    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
    assert [error["field"] for error in answer.json()["errors"]] == [field]


NUL_BODIES: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", REQUEST, {"phone": "+15551234567\0"}),
    ("POST", REQUEST, {"email": "a@example.com\0"}),
    ("POST", REQUEST, {"phone": "+15551234567", "mode": "code\0"}),
    ("POST", REQUEST, {"phone": "+15551234567", "challenge_id": "ch_" + "0" * 26 + "\0"}),
    ("POST", REQUEST, {"phone": "+15551234567", "metadata": {"a": "\0"}}),
    ("POST", REQUEST, {"phone": "+15551234567", "metadata": {"\0": "a"}}),
    ("POST", REQUEST, {"phone": "+15551234567", "metadata": {"a": [{"b": "\\\0"}]}}),
    ("POST", REQUEST, {"phone": "+15551234567", "\0": "a"}),
    ("POST", VERIFY, {"phone": "+15551234567", "code": "123456\0"}),
    ("POST", VERIFY, {"phone": "+15551234567", "code": "123456", "device": {"name": "\0"}}),
    ("POST", TENANTS, {"name": "My\0App", "slug": "myapp"}),
    ("POST", TENANTS, {"name": "My App", "slug": "my\0app"}),
    ("POST", TENANTS, {"name": "My App", "slug": "myapp", "settings": {"sms_branding": "My\0App"}}),
    ("POST", TENANTS, {"name": "My App", "slug": "myapp", "settings": {"allowed_countries": ["D\0"]}}),
    ("PATCH", TENANTS + "/{tenant_id}", {"name": "My\0App"}),
    ("PATCH", TENANTS + "/{tenant_id}", {"settings": {"sms_branding": "My\0App"}}),
    ("PATCH", TENANTS + "/{tenant_id}", {"settings": {"\0": "a"}}),
    ("POST", TENANTS + "/{tenant_id}/keys", {"kind": "pk\0"}),
    ("POST", TENANTS + "/{tenant_id}/keys", {"kind": "pk", "allowed_origins": ["https://a.example\0"]}),
    ("POST", TENANTS + "/{tenant_id}/keys", {"kind": "pk", "expires_at": "2030-01-01T00:00:00Z\0"}),
]


@pytest.mark.parametrize(("method", "path", "body"), NUL_BODIES, ids=lambda value: str(value)[:70])
async def test_nul_character_is_rejected_in_every_string(
    api: ApiClient, tenant: dict[str, str], method: str, path: str, body: dict[str, Any]
) -> None:
    answer = await send(api, path.format(**tenant), tenant, json.dumps(body).encode(), method)

    assert answer.status_code == 422, answer.text


async def test_nul_character_is_rejected_in_urls(api: ApiClient) -> None:
    assert (await api.admin("GET", f"{TENANTS}/tn_%00")).status_code == 404
    assert (await api.admin("GET", f"{TENANTS}?cursor=%00")).status_code == 422
    assert (await api.admin("GET", f"{TENANTS}?cursor=%ff")).status_code == 400
    assert (await api.admin("GET", f"{TENANTS}?limit=%00")).status_code == 422


@pytest.mark.parametrize(
    "metadata",
    [
        {"text": "back\\slash, \\u0000 in letters, ümläut, 😀, \u007f, \u2028"},
        {"number": 2**64 - 1, "negative": -(2**63), "fraction": 1e-9, "large": 9e20},
    ],
)
async def test_metadata_accepts_any_json(
    api: ApiClient, tenant: dict[str, str], phone: str, metadata: dict[str, Any]
) -> None:
    assert (await api.post(REQUEST, {"phone": phone, "metadata": metadata}, tenant["api_key"])).status_code == 200


@pytest.mark.parametrize("value", ["1" + "0" * 300, "[" * 40 + "]" * 40, "-0", "1e308", "0.1" + "0" * 900])
async def test_extreme_metadata_causes_no_server_error(
    api: ApiClient, tenant: dict[str, str], phone: str, value: str
) -> None:
    body = f'{{"phone": "{phone}", "metadata": {{"value": {value}}}}}'

    assert (await send(api, REQUEST, tenant, body.encode())).status_code in (200, 422)


async def test_metadata_nested_too_deeply_is_bad_json(api: ApiClient, tenant: dict[str, str], phone: str) -> None:
    body = f'{{"phone": "{phone}", "metadata": {{"value": {"[" * 400 + "]" * 400}}}}}'

    response = await send(api, REQUEST, tenant, body.encode())

    assert (response.status_code, response.json()["code"]) == (400, "bad_json")


any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=40),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(), max_size=10), inner, max_size=4)
    ),
    max_leaves=12,
)


def as_json(value: object) -> bytes:
    return json.dumps(value).encode()


def nearly(known: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    """Return documents with the right fields and valid or arbitrary values."""
    fields = {name: right | right | right | any_json for name, right in known.items()}
    return st.fixed_dictionaries({}, optional=fields)


phones = st.integers(201, 499).map(lambda area: f"+1{area}5550199")
tenant_settings = nearly(
    {
        "otp_length": st.integers(3, 11),
        "sms_branding": st.text(max_size=31),
        "allowed_countries": st.lists(st.text(max_size=3), max_size=3),
        "requests_per_minute": st.integers(),
        "default_locale": st.text(max_size=6),
        "texts": st.fixed_dictionaries({"sms": st.dictionaries(st.text(max_size=5), st.text(max_size=9) | any_json)}),
    }
)
moments = st.datetimes().map(lambda moment: moment.isoformat()) | st.sampled_from(
    ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2030-01-01T00:00:00Z", "2030-01-01T00:00:60Z"]
)
range_of_moments = {"since": moments, "until": moments}
# Path -> what its bodies look like.
BODIES = {
    ("POST", REQUEST): nearly(
        {
            "phone": phones,
            "email": st.emails(),
            "metadata": st.dictionaries(st.text(st.characters()), any_json),
            "challenge_id": st.from_regex(r"ch_[0-9a-z]{26}", fullmatch=True),
            "locale": st.text("aZ-_9", max_size=36),
        }
    ),
    ("POST", VERIFY): nearly(
        {
            "phone": phones,
            "code": st.from_regex(r"[0-9]{3,11}", fullmatch=True),
            "device": st.fixed_dictionaries({"name": st.text()}),
        }
    ),
    ("POST", TENANTS): nearly(
        {"name": st.text(), "slug": st.text("ab-", min_size=1, max_size=41), "settings": tenant_settings}
    ),
    ("PATCH", TENANTS + "/{tenant_id}"): nearly({"name": st.text(), "settings": tenant_settings}),
    ("POST", TENANTS + "/{tenant_id}/texts/preview"): nearly(
        {
            "channel": st.just("sms"),
            "locale": st.from_regex(r"[a-z]{2}(-[A-Z]{2})?", fullmatch=True),
            "template": st.lists(st.sampled_from(["{", "}", "{code}", "{brand}", "{x}"]) | st.text()).map("".join),
        }
    ),
    ("POST", TENANTS + "/{tenant_id}/keys"): nearly(
        {
            "kind": st.sampled_from(["pk", "sk", "test"]),
            "expires_at": moments,
            "allowed_origins": st.lists(st.from_regex(r"https?://[^ ]*", fullmatch=True), max_size=3),
        }
    ),
    ("POST", TENANTS + "/{tenant_id}/webhooks/{webhook_id}/replay"): nearly(
        {"state": st.sampled_from(["failed", "cancelled", "delivered"]), **range_of_moments}
    ),
    ("POST", TENANTS + "/{tenant_id}/webhooks/{webhook_id}/cancel"): nearly(range_of_moments),
}


@pytest.fixture(scope="session")
async def names(api: ApiClient, tenant: dict[str, str]) -> dict[str, str]:
    """Return the ids in paths: of the tenant, and of a webhook."""
    path = f"{TENANTS}/{tenant['tenant_id']}/webhooks"
    webhook = await api.admin("POST", path, {"url": "https://example.com/webhooks", "events": ["*"]})
    return tenant | {"webhook_id": webhook.json()["webhook_id"]}


@pytest.mark.parametrize("route", BODIES, ids=" ".join)
@settings(max_examples=effort(60, 1000), deadline=None, derandomize=True, database=None)
@given(data=st.data())
async def test_no_body_causes_a_server_error(
    api: ApiClient, names: dict[str, str], route: tuple[str, str], data: st.DataObject
) -> None:
    method, path = route
    body = data.draw(st.binary(max_size=200) | any_json.map(as_json) | BODIES[route].map(as_json))

    answer = await send(api, path.format(**names), names, body, method)

    assert answer.status_code < 500 or answer.json()["code"] == "channel_unavailable", answer.text
