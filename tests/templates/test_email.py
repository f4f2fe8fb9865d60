"""The plain text and HTML of an email."""

import re

import pytest

from auth1.errors import ValidationFailed
from auth1.templates.email import render_email
from auth1.templates.schemas import Branding, EmailText, Purpose, Texts
from auth1.templates.strings import STRINGS
from auth1.templates.validation import check_texts

LINK = "https://auth.example.com/api/auth/link/" + "x" * 43
JAPANESE = EmailText(
    subject="確認コード {code}",
    link="リンク",
    button="ログイン",
    paste="貼り付け",
    code="コード",
    expiry="{minutes}分",
    footer="無視",
)


def test_text_has_the_code_first_then_the_link() -> None:
    text, content = render_email(Branding("MyApp"), "en", code="482913", link=LINK, expires_in=600)

    assert text.split("\n\n") == [
        "MyApp",
        "Enter this code to sign in to MyApp:",
        "482913",
        "Or use this link to sign in:",
        LINK,
        "The code and the link expire in 10 minutes. After you use one, the other stops working.",
        "Didn't request this? You can ignore this email. Never share this code or this link with anyone.\n",
    ]
    assert content.subject == "Sign in to MyApp"
    assert content.html.index("482913") < content.html.index(LINK)


@pytest.mark.parametrize(
    ("code", "link", "expiry", "footer"),
    [
        ("482913", None, "This code expires in 1 minute and can be used once.", "Never share this code with anyone."),
        (None, LINK, "This link expires in 1 minute and can be used once.", "Never share this link with anyone."),
    ],
)
def test_expiry_and_footer_name_what_the_email_contains(
    code: str | None, link: str | None, expiry: str, footer: str
) -> None:
    text, content = render_email(Branding("MyApp"), "en", code=code, link=link, expires_in=60)

    for part in (text, content.html):
        assert expiry in part
        assert footer in part


@pytest.mark.parametrize("lang", sorted(STRINGS))
def test_code_that_adds_an_address_names_the_account_action(lang: str) -> None:
    text, content = render_email(Branding("MyApp"), lang, code="482913", link=None, expires_in=600, purpose="add")

    email = STRINGS[lang].email
    assert content.subject == email.add_subject.format(brand="MyApp")
    assert text.split("\n\n")[1] == email.add_code.format(brand="MyApp")
    assert email.code.format(brand="MyApp") not in text


@pytest.mark.parametrize(
    ("texts", "purpose", "locale", "lang", "subject"),
    [
        ({"ja": JAPANESE}, "login", "ja", "ja", "確認コード 482913"),
        ({"ja": JAPANESE}, "add", "ja", "en", "Add this email address to your MyApp account"),
        ({"fr": EmailText(subject="Oui {code}")}, "add", "fr", "fr", "Ajoutez cette adresse e-mail à votre compte MyApp"),  # noqa: E501
        ({"es": EmailText(add_subject="Sumar {code}")}, "add", "es-MX", "es", "Sumar 482913"),
        ({"es": EmailText(add_subject="Sumar {code}")}, "login", "es", "es", "Tu código de verificación de MyApp"),
    ],
)  # fmt: skip
def test_custom_login_texts_are_not_used_for_a_code_that_adds_an_address(
    texts: dict[str, EmailText], purpose: Purpose, locale: str, lang: str, subject: str
) -> None:
    branding = Branding("MyApp", texts=Texts(email=texts))

    _, content = render_email(branding, locale, code="482913", link=None, expires_in=600, purpose=purpose)

    assert (content.lang, content.subject) == (lang, subject)


def test_language_with_texts_for_adding_an_address_is_used() -> None:
    own = {"ja": JAPANESE, "ja-JP": EmailText(add_subject="追加 {brand}", add_code="追加コード")}
    branding = Branding("MyApp", texts=Texts(email=own))

    text, content = render_email(branding, "ja-JP", code="482913", link=None, expires_in=600, purpose="add")

    assert (content.lang, content.subject) == ("ja-JP", "追加 MyApp")
    assert re.search("[a-z]{3}", text) is None


def test_texts_for_adding_an_address_are_validated() -> None:
    texts = Texts(email={"es": EmailText(add_subject="a\nb", add_code="{code}")})

    with pytest.raises(ValidationFailed) as caught:
        check_texts(texts)

    names = [error.field for error in caught.value.errors]
    assert names == ["settings.texts.email.es.add_subject", "settings.texts.email.es.add_code"]


def test_html_supports_dark_mode_and_loads_nothing() -> None:
    _, content = render_email(Branding("MyApp"), "en", code="482913", link=LINK, expires_in=600)

    assert '<meta name="color-scheme" content="light dark">' in content.html
    assert "@media (prefers-color-scheme:dark)" in content.html
    assert re.search(r"<img|<script|<link|src=|url\(|@import|@font-face", content.html) is None
    assert set(re.findall(r"https?://[^\s\"<]+", content.html)) == {LINK}


def test_every_value_in_the_html_is_escaped() -> None:
    script = "<script>alert('1')</script>"
    texts = Texts(email={"en": EmailText(code=script, link=script, button=script, expiry=script, footer=script)})
    branding = Branding(script, texts=texts)

    for code, link in (("482913", None), (None, f'{LINK}"{script}'), ("482913", LINK)):
        _, content = render_email(branding, "en", code=code, link=link, expires_in=600)

        assert "<script" not in content.html
        assert content.html.count("&lt;script&gt;") >= 5


def test_direction_follows_the_language() -> None:
    for lang, direction in (("he", "rtl"), ("fa-IR", "rtl"), ("ja", "ltr")):
        branding = Branding("MyApp", texts=Texts(email={lang: JAPANESE}))
        _, content = render_email(branding, lang, code="482913", link=None, expires_in=600)
        assert f'<html lang="{lang}" dir="{direction}">' in content.html
