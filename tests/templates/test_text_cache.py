"""Texts of messages come from a cache, and equal freshly rendered ones."""

import itertools

import pytest

from auth1.challenges.codes import LOGIN, adding
from auth1.challenges.messages import Envelope, TextCache, render_code
from auth1.templates.email import render_email
from auth1.templates.schemas import EmailText, Purpose, Texts
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


EMAIL_SETTINGS = (
    TenantSettings(),
    TenantSettings(sms_branding="A & B", brand_color="#1a73e8", default_locale="de", logo="0" * 32),
    TenantSettings(texts=Texts(email={"en": EmailText(subject="{code} for {brand}", footer="Only you")})),
    TenantSettings(texts=Texts(email={"en": EmailText(add_code="Add {{this}}")})),
)
LINK = "https://auth.example.com/api/auth/link/abc_-123"
CONTENTS = (("482913", None), (None, LINK), ("0123456789", LINK))


@pytest.mark.parametrize("settings", EMAIL_SETTINGS)
def test_cached_email_equals_a_rendered_one(settings: TenantSettings) -> None:
    for _ in range(2):
        for name, locale, (purpose, use), (code, link) in itertools.product(NAMES, LOCALES, PURPOSES, CONTENTS):
            for expires_in in (1, 61, 600):
                one = envelope(settings, name, locale)._replace(to="ann@example.com", channel="email")

                message = render_code(one, code=code, link=link, expires_in=expires_in, purpose=purpose)

                branding = settings.branding(name, one.base_url)
                rendered = render_email(branding, locale, code=code, link=link, expires_in=expires_in, purpose=use)
                assert (message.text, message.email) == rendered


def test_cache_of_texts_is_bounded_in_bytes() -> None:
    cache = TextCache(max_bytes=50_000)
    own = TenantSettings(texts=Texts(sms={"en": "{code} " + "a" * 300}))

    for number in range(200):
        for one in (envelope(own, f"App {number}"), envelope(own, f"App {number}")._replace(channel="email")):
            render_code(one, code="482913", link=None, expires_in=600, cache=cache)
            assert cache.size <= 50_000
            assert len(cache) <= 25

    assert len(cache) > 5


def test_most_recently_used_texts_are_kept() -> None:
    cache = TextCache(max_bytes=20_000)
    kept = envelope(TenantSettings())

    for number in range(100):
        render_code(envelope(TenantSettings(), f"App {number}"), code="482913", link=None, expires_in=600, cache=cache)
        before = cache.size
        render_code(kept, code="482913", link=None, expires_in=600, cache=cache)
        assert number == 0 or cache.size == before, "it was in the cache"
