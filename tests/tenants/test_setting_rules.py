"""A tenant's name and settings are validated."""

from typing import Any

import msgspec
import pytest

from auth1.errors import ValidationFailed
from auth1.tenants.setting_rules import brand_problem, check_origins, check_settings
from auth1.tenants.settings import TenantSettings


def errors(**settings: Any) -> dict[str, str]:
    converted = msgspec.convert(settings, TenantSettings)
    try:
        check_settings(converted, settings)
    except ValidationFailed as error:
        return dict(error.errors)
    return {}


@pytest.mark.parametrize(
    "text",
    [
        "example.com",
        "https://example.com",
        "example．com",
        "example。com",
        "example｡com",
        "example․com",
        "example﹒com",
        "ｅｘａｍｐｌｅ．ｃｏｍ",
        "example۔com",
        "example.com pay now",
        "192.0.2.1",
        "1.2.3.4",
        "１９２．０．２．１",
        "www example",
        "me＠example",
        "a∕b",
        "a：b",
        "My\u200bApp",
        "My\u200dApp",
        "My\u2060App",
        "My\u00adApp",
        "My\ufeffApp",
        "\u202emoc",
        "My\u034fApp",
        "\u3164",
        "\u2800",
        "My\u2028App",
        "My\ue000App",
        "   ",
        "---",
        "Call 1 800 555 0100",
        "+442079460000",
    ],
)
def test_name_with_links_or_hidden_characters_is_rejected(text: str) -> None:
    assert brand_problem(text) is not None


@pytest.mark.parametrize(
    "text",
    ["My App", "MyApp & Söhne", "7-Eleven", "Studio 2024", "A.B. Smith", "株式会社", "हिन्दी", "بنك", "Yahoo!", "A"],
)
def test_ordinary_name_is_accepted(text: str) -> None:
    assert brand_problem(text) is None


@pytest.mark.parametrize(
    ("settings", "field", "advice"),
    [
        ({"allowed_countries": ["US", "UK"]}, "settings.allowed_countries[1]", "write GB"),
        ({"allowed_countries": ["EL"]}, "settings.allowed_countries[0]", "write GR"),
        ({"allowed_countries": ["XX"]}, "settings.allowed_countries[0]", "not a country code"),
        ({"default_locale": "english"}, "settings.default_locale", "write en"),
        ({"default_locale": "eng"}, "settings.default_locale", "write en"),
        ({"default_locale": "xx"}, "settings.default_locale", "BCP 47"),
        ({"default_locale": "en-UK"}, "settings.default_locale", "write GB"),
        ({"default_locale": "klingon"}, "settings.default_locale", "BCP 47"),
        ({"sms_branding": "example．com"}, "settings.sms_branding", "link"),
        ({"texts": {"sms": {"jp": "{code}"}}}, "settings.texts.sms.jp", "write ja"),
        ({"redirect_uris": ["https://a..b/cb"]}, "settings.redirect_uris[0]", "invalid host name"),
        ({"redirect_uris": ["https://a.example:70000/cb"]}, "settings.redirect_uris[0]", "65535"),
        ({"redirect_uris": ["https://999.1.1.1/cb"]}, "settings.redirect_uris[0]", "invalid address"),
        ({"sms_senders": {"UK": {"sns": "MyApp"}}}, "settings.sms_senders.UK", "write GB"),
        ({"sms_senders": {"US": {"sns": "+9999999"}}}, "settings.sms_senders.US.sns", "phone number"),
    ],
)
def test_meaningless_setting_is_rejected_with_the_fix(settings: dict[str, Any], field: str, advice: str) -> None:
    found = errors(**settings)

    assert list(found) == [field]
    assert advice in found[field]


@pytest.mark.parametrize("tag", ["en", "pt-BR", "pt_br", "zh-Hant-TW", "es-419", "fil", "br", "nb"])
def test_language_tag_is_accepted(tag: str) -> None:
    assert errors(default_locale=tag) == {}


def test_only_changed_settings_are_checked() -> None:
    stored = msgspec.convert({"allowed_countries": ["UK"], "otp_length": 8}, TenantSettings)

    check_settings(stored, {"otp_length"})


def test_origin_needs_a_port_that_exists() -> None:
    with pytest.raises(ValidationFailed) as caught:
        check_origins(["https://app.example.com", "https://app.example.com:99999"])

    assert caught.value.errors[0].field == "allowed_origins[1]"
