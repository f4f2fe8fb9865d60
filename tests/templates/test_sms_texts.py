"""Texts of SMS come from a cache, and equal freshly rendered ones."""

import itertools

import pytest

from auth1.challenges.codes import LOGIN, adding
from auth1.challenges.messages import Envelope, SmsTexts, render_code
from auth1.templates.schemas import Purpose, Texts
from auth1.templates.segments import measure
from auth1.templates.sms import render_sms
from auth1.tenants.settings import TenantSettings

SETTINGS = (
    TenantSettings(),
    TenantSettings(sms_branding="Ωmega"),
    TenantSettings(default_locale="de", sms_autofill_host="app.example.com"),
    TenantSettings(texts=Texts(sms={"en": "{code} {brand} {minutes} {{code}}"}, sms_add={"pt-BR": "+{code} €"})),
    TenantSettings(texts=Texts(sms={"en": "{brand}: {code}", "zh": "代码 {code}，{minutes} 分钟"})),
)
LOCALES = (None, "en", "pt-BR", "zh-Hant", "xx")
PURPOSES: tuple[tuple[str, Purpose], ...] = ((LOGIN, "login"), (adding("ses_1"), "add"))
NAMES = ("My App", "{code}", "M" * 100)
CODES = ("0000", "482913", "0123456789")


def envelope(settings: TenantSettings, name: str = "My App", locale: str | None = None) -> Envelope:
    return Envelope("tn_1", "msg_1", "+12025550100", "sms", name, settings, locale, "https://auth.example.com")


@pytest.mark.parametrize("settings", SETTINGS)
def test_cached_text_equals_a_rendered_one(settings: TenantSettings) -> None:
    for _ in range(2):  # a miss, then a hit
        for name, locale, (purpose, use), code in itertools.product(NAMES, LOCALES, PURPOSES, CODES):
            for expires_in in (0, 1, 60, 61, 599, 600):
                message = render_code(
                    envelope(settings, name, locale), code=code, link=None, expires_in=expires_in, purpose=purpose
                )

                assert message.text == render_sms(settings.branding(name), locale, code, expires_in, use)
                assert message.segments == measure(message.text).segments


def test_changed_text_is_sent_at_once() -> None:
    before = TenantSettings(texts=Texts(sms={"en": "Before {code}"}))
    after = TenantSettings(texts=Texts(sms={"en": "After {code}"}))

    texts = [
        render_code(envelope(settings), code="482913", link=None, expires_in=600).text
        for settings in (before, after, before)
    ]

    assert texts == ["Before 482913", "After 482913", "Before 482913"]


def test_cache_of_texts_is_bounded_in_bytes() -> None:
    texts = SmsTexts(max_bytes=20_000)
    own = TenantSettings(texts=Texts(sms={"en": "{code} " + "a" * 300}))

    for number in range(200):
        texts.find(envelope(own, f"App {number}"), "login", 6, 600)
        assert texts.size <= 20_000
        assert len(texts._entries) <= 20

    assert len(texts._entries) > 5


def test_most_recently_used_texts_are_kept() -> None:
    texts = SmsTexts(max_bytes=5000)
    kept = texts.find(envelope(TenantSettings()), "login", 6, 600)

    for number in range(100):
        texts.find(envelope(TenantSettings(), f"App {number}"), "login", 6, 600)
        assert texts.find(envelope(TenantSettings()), "login", 6, 600) is kept
