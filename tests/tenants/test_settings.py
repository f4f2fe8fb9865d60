"""The settings of a tenant: defaults, bounds, and changes by the tenant and the operator."""

import secrets
from typing import Any

import pytest

from tests.support.api_client import TENANTS, ApiClient

DEFAULTS: dict[str, Any] = {
    "otp_length": 6,
    "otp_expiry_minutes": 10,
    "max_otp_attempts": 5,
    "rate_limit_per_hour": 5,
    "requests_per_minute": 6000,
    "voip_blocking": True,
    "allowed_countries": None,
    "require_challenge_id": False,
    "sign_up": "open",
    "sms_branding": None,
    "token_expires_in": 900,
    "session_idle_after": 30 * 24 * 3600,
    "session_expires_in": 90 * 24 * 3600,
    "max_sessions_per_user": None,
    "messages_per_day": None,
    "sms_budget_per_day": None,
    "sms_budget_soft": 0.8,
    "default_locale": "en",
    "texts": {"sms": {}, "sms_add": {}, "email": {}},
    "redirect_uris": [],
    "brand_color": None,
    "sms_autofill_host": None,
    "retry_undelivered": False,
    "retry_unreported_after": None,
    "sms_senders": {},
    "email_from": None,
    "events_retention_days": None,
    "required_identifiers": [],
    "login_page": {
        "methods": [],
        "dark_color": None,
        "background_color": None,
        "corner_radius": 8,
        "terms_url": None,
        "privacy_url": None,
        "texts": {},
    },
    "logo": None,
}

# What each setting may just be, and what it may just not be.
BOUNDS: list[tuple[str, list[Any], list[Any]]] = [
    ("otp_length", [4, 10], [3, 11, 6.5, "6", True]),
    ("otp_expiry_minutes", [1, 10], [0, 11, -1]),
    ("max_otp_attempts", [1, 10], [0, 11]),
    ("rate_limit_per_hour", [1, 100], [0, 101]),
    ("requests_per_minute", [1, 1_000_000], [0, 1_000_001, 10**30]),
    ("voip_blocking", [False, True], [0, "no"]),
    ("allowed_countries", [[], ["DE", "US"], ["DE"] * 250], ["DE", ["de"], ["DEU"], ["DE\n"], [None], ["DE"] * 251]),
    ("require_challenge_id", [True, False], [1]),
    ("sign_up", ["open", "closed"], ["", "Open", "invite", True]),
    (
        "sms_branding",
        ["M", "My App & Söhne", "a" * 30, "v1.0", "Dr. Who"],
        ["", "a" * 31, "a\nb", "MyApp\n", "MyApp\r\n", "a\x7fb", "x.co", "evil.com now", "a/b", "a@b", "a:b", "<b>"],
    ),
    ("token_expires_in", [60, 3600], [59, 3601, "900"]),
    ("session_idle_after", [300, 31_536_000], [299, 31_536_001]),
    ("session_expires_in", [300, 31_536_000], [299, 31_536_001]),
    ("max_sessions_per_user", [1, 1000, None], [0, 1001, True]),
    ("messages_per_day", [0, 10**9, None], [-1, 10**9 + 1, 0.5]),
    ("sms_budget_per_day", [0, 12.5, 10**9, None], [-0.01, 10**9 + 1, "1"]),
    ("sms_budget_soft", [0, 0.5, 1], [-0.1, 1.01]),
    ("default_locale", ["pt-BR", "zh-Hant-TW", "fil"], ["", "e", "en\n", "en-", "-en", "e n", "é", "a" * 36, 1]),
    (
        "texts",
        [
            {"sms": {}, "sms_add": {}, "email": {}},
            {"sms": {"es-419": "{code}"}, "sms_add": {}, "email": {"es-419": {"subject": "x" * 120}}},
            {"sms": {"de": "x" * 314 + "{code}"}, "sms_add": {"de": "{code}"}, "email": {}},
        ],
        [1, {"fax": {}}, {"sms": []}, {"sms": {"de": 1}}, {"sms": {"de": ""}}, {"sms": {"german": "{code}"}}],
    ),
    (
        "redirect_uris",
        [[], ["https://app.example.com/cb", "http://localhost:5173"], ["https://a.co/"] * 50],
        ["https://a.co/", ["http://a.co/"], ["https://a.co/#x"], ["https://a.co/"] * 51],
    ),
    ("brand_color", ["#000000", "#ffee00"], ["", "red", "#fff", "#FFEE00", "#ffee00\n", 0]),
    (
        "sms_autofill_host",
        ["localhost", "login.example.com", "xn--bcher-kva.example", "a" * 63 + ".example"],
        ["", "Example.com", "example.com\n", "https://a.co", "a.co:443", "a..co", ".co", "a.", "127.0.0.1", "a" * 64],
    ),
    ("logo", [None], ["", "a" * 31, "a" * 33, "A" * 32, "a" * 32, "a" * 31 + "\n", 1]),
    ("retry_undelivered", [True, False], [1, "yes"]),
    ("events_retention_days", [1, 3660, None], [0, 3661, -1, True, "30", 30.5]),
    ("retry_unreported_after", [10, 300, None], [9, 301, 0, -1, True, "60", 10.5]),
    (
        "email_from",
        ["no-reply@example.com", "a+b@mail.example.com", None],
        ["", "example.com", "a@", "a@b", "A <a@example.com>", "a@example.com\n", "a@exa mple.com", "a@-example.com", 1],
    ),
    ("required_identifiers", [[], ["phone"], ["email", "phone"]], [["name"], "phone", ["phone"] * 3]),
    (
        "login_page",
        [
            DEFAULTS["login_page"] | {"methods": ["email"], "dark_color": "#123456", "corner_radius": 0},
            DEFAULTS["login_page"] | {"corner_radius": 24, "terms_url": "https://example.com/terms"},
            DEFAULTS["login_page"] | {"texts": {"de": {"title": "Willkommen", "footer": "Hilfe: Kundendienst"}}},
        ],
        [
            *({"methods": value} for value in (["sms"], ["phone"] * 3, "phone", None)),
            *({"dark_color": value} for value in ("red", "#12345", "#1234567", "#12345g", 1)),
            *({"corner_radius": value} for value in (-1, 25, 1.5, None)),
            *({"terms_url": value} for value in ("javascript:alert(1)", "example.com", "https://", 1)),
            *(
                {"texts": {tag: text}}
                for tag, text in (("xx", {}), ("de", {"body": "x"}), ("de", {"title": "x" * 1001}))
            ),
            {"colour": "#123456"},
        ],
    ),
    (
        "sms_senders",
        [
            {},
            {"DE": {"twilio": "My App & Co", "sns": "MyApp"}, "*": {"twilio": "MG" + "b" * 32, "sns": "+12015550123"}},
            {"US": {"twilio": "+12015550123", "sns": None}},
        ],
        [
            *({"US": {"twilio": name}} for name in ("", "MG" + "b" * 31, "12345678901", "A name too long", " MyApp")),
            *({"US": {"twilio": name}} for name in ("My\nApp", "MyApp\n", "My\0App", "Zoë", "+0123", 1)),
            *({"US": {"sns": name}} for name in ("", "My App", "MG" + "b" * 32, "+0123", "12345", "x" * 12)),
            *({place: {"sns": "MyApp"}} for place in ("us", "USA", "", "U\n")),
            {"US": {"smtp": "MyApp"}},
            {f"{a}{b}": {} for a in "ABCDEFGHIJKL" for b in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"},
            ["MyApp"],
        ],
    ),
]


def slug() -> str:
    return f"s{secrets.token_hex(6)}"


async def test_omitted_settings_have_the_documented_defaults(api: ApiClient) -> None:
    assert (await api.tenant())["settings"] == DEFAULTS


@pytest.mark.parametrize(("setting", "good", "bad"), BOUNDS, ids=[setting for setting, _, _ in BOUNDS])
async def test_each_setting_is_checked_at_its_bounds(
    api: ApiClient, setting: str, good: list[Any], bad: list[Any]
) -> None:
    made = await api.tenant()
    path = f"{TENANTS}/{made['tenant_id']}"
    for value in good:
        patched = await api.admin("PATCH", path, {"settings": {setting: value}})
        assert patched.json()["settings"][setting] == value
    for value in bad:
        for answer in (
            await api.admin("PATCH", path, {"settings": {setting: value}}),
            await api.admin("POST", TENANTS, {"name": "My App", "slug": slug(), "settings": {setting: value}}),
        ):
            assert answer.status_code == 422, value
            assert answer.json()["errors"][0]["field"].startswith(f"settings.{setting}")
    assert (await api.admin("GET", path)).json()["settings"] == DEFAULTS | {setting: good[-1]}


def test_every_setting_has_bounds_in_this_file() -> None:
    assert {setting for setting, _, _ in BOUNDS} == set(DEFAULTS)


@pytest.mark.parametrize("settings", [{"colour": 1}, {"colour": None}, {"otp_length": 8, "colour": "blue"}])
async def test_unknown_setting_is_rejected_by_name(api: ApiClient, settings: dict[str, Any]) -> None:
    made = await api.tenant()
    path = f"{TENANTS}/{made['tenant_id']}"

    answer = await api.admin("PATCH", path, {"settings": settings})

    assert answer.json()["errors"] == [{"field": "settings.colour", "message": "Unknown field."}]
    assert (await api.admin("GET", path)).json()["settings"] == DEFAULTS


@pytest.mark.parametrize(
    ("settings", "field"), [({"colour": 1}, "colour"), ({"otp_length": 99}, "otp_length"), ({"texts": 1}, "texts")]
)
async def test_tenant_settings_error_names_the_field_of_the_body(
    api: ApiClient, settings: dict[str, Any], field: str
) -> None:
    headers = {"x-api-key": (await api.tenant())["secret_key"]}

    answer = await api.client.patch("/api/tenant/settings", json=settings, headers=headers)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field


async def test_tenant_cannot_change_operator_settings(api: ApiClient) -> None:
    tenant = await api.tenant(sms_budget_per_day=1)
    headers = {"x-api-key": tenant["secret_key"]}
    for name, value in (("sms_budget_per_day", None), ("sms_budget_soft", 1), ("messages_per_day", 10)):
        answer = await api.client.patch("/api/tenant/settings", json={name: value}, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
        assert name in answer.json()["detail"]

    shown = (await api.client.get("/api/tenant/settings", headers=headers)).json()
    assert (shown["sms_budget_per_day"], shown["messages_per_day"]) == (1, None)
