"""The built-in strings: the same in every language, and a new language is one new file."""

import shutil
import string
from pathlib import Path

import msgspec
import pytest

from auth1.config.countries import country_problem
from auth1.hosted.typed import countries_of
from auth1.templates import strings
from auth1.templates.email import render_email
from auth1.templates.email_words import RULES
from auth1.templates.notices import render_notice
from auth1.templates.pages import Look, WayBack, render_confirm, render_confirmed, render_expired
from auth1.templates.placeholders import parse
from auth1.templates.schemas import Branding
from auth1.templates.segments import measure
from auth1.templates.sms import render_sms
from auth1.templates.strings import STRINGS, Strings, load
from auth1.tenants.settings import TenantSettings

DIRECTORY = Path(strings.__file__).parent
NOTICES = [name for name in strings.NoticeStrings.__struct_fields__ if name != "advice"]


def flatten(language: Strings) -> dict[str, str]:
    """Return the texts of a language by group and name."""
    return {
        f"{group}.{name}": text
        for group, texts in msgspec.to_builtins(language).items()
        if group not in ("country", "duration")
        for name, text in texts.items()
    }


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("lang", sorted(STRINGS))
def test_every_text_has_the_placeholders_of_its_english_text(lang: str) -> None:
    english = flatten(STRINGS["en"])
    for name, text in flatten(STRINGS[lang]).items():
        assert placeholders(text) == placeholders(english[name]), name


@pytest.mark.parametrize("lang", sorted(STRINGS))
def test_country_of_a_language_has_phone_numbers(lang: str) -> None:
    assert country_problem(STRINGS[lang].country) is None


@pytest.mark.parametrize("lang", sorted(STRINGS))
def test_built_in_email_texts_follow_the_rules_for_custom_texts(lang: str) -> None:
    words = msgspec.to_builtins(STRINGS[lang].email)
    for name, text in words.items():
        rules = RULES[next(rule for rule in RULES if rule in name)]
        parse(text.replace("{duration}", "10 minutes"), rules)


@pytest.mark.parametrize("lang", sorted(STRINGS))
@pytest.mark.parametrize("notice", NOTICES)
def test_notice_is_one_gsm_segment_with_a_brand_of_30_characters(lang: str, notice: str) -> None:
    text, email = render_notice(Branding("B" * 30), lang, notice, "sms")

    assert email is None
    assert measure(text)[::2] == ("gsm7", 1), text


def test_new_language_is_one_new_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in DIRECTORY.glob("*.toml"):
        shutil.copy(path, tmp_path)
    marked = (DIRECTORY / "en.toml").read_text().replace(' = "', ' = "NL ').replace('"NL US"', '"NL"')
    (tmp_path / "nl.toml").write_text(marked.replace("\n[duration]\n", '\n[duration]\n2 = "twee minuten"\n'))

    languages = load(tmp_path)

    assert set(languages) == {*STRINGS, "nl"}
    monkeypatch.setitem(STRINGS, "nl", languages["nl"])
    branding = Branding("MyApp")
    assert render_sms(branding, "nl-BE", "482913", 120).startswith("NL Your MyApp verification code is: 482913.")
    assert "twee minuten" in render_sms(branding, "nl", "482913", 120)
    assert render_sms(branding, "nl", "482913", 600, "add").startswith("NL Your MyApp code to add")
    assert render_notice(branding, "nl", "phone_added", "sms")[0].startswith("NL A phone number")
    text, email = render_email(branding, "nl", code="482913", link="https://a.example/x", expires_in=600)
    assert "NL Enter this code" in text
    assert (email.lang, email.subject) == ("nl", "NL Sign in to MyApp")
    assert countries_of(TenantSettings(), ["nl"]) == ["NL", "US"]
    back = WayBack("MyApp")
    for page in (
        render_confirm(Look("nl", ""), "MyApp"),
        render_confirmed(Look("nl", ""), back),
        render_expired(Look("nl", "")),
    ):
        assert '<html lang="nl" dir="ltr">' in page
        assert "<h1>NL " in page


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("nl.toml", ("login =", "log_in ="), "log_in"),
        ("nl.toml", ("{code}. Expires", "{kode}. Expires"), "Braces"),
        ("nl.toml", ("[pages]", "[sites]"), "sites"),
        ("nl.toml", ('country = "US"', 'country = "us"'), "country"),
        ("Dutch.toml", ("", ""), "not a language tag"),
    ],
)
def test_invalid_language_file_is_named(tmp_path: Path, name: str, change: tuple[str, str], message: str) -> None:
    (tmp_path / name).write_text((DIRECTORY / "en.toml").read_text().replace(*change, 1))

    with pytest.raises(ValueError, match=name) as caught:
        load(tmp_path)
    assert message in str(caught.value)
