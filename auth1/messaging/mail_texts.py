"""Which words an email has: the tenant's own where it has given them, else ours, each looked for in the language of its
reader.

A tenant may give some of the words of a language that we have, too. Of any other language it gives all of them, so that
no email speaks two.
"""

from contextlib import suppress
from typing import NamedTuple

import msgspec

from auth1.errors import FieldError
from auth1.messaging.locales import FALLBACK, candidates
from auth1.messaging.mail_words import WORDS, Words
from auth1.messaging.templates import Rules, Template, TemplateError, parse
from auth1.tenants.settings import EmailText, TenantSettings

RULES = {
    "subject": Rules(120, "at most once"),
    "link": Rules(320, "never"),
    "button": Rules(60, "never"),
    "paste": Rules(160, "never"),
    "code": Rules(320, "never"),
    "expiry": Rules(160, "never"),
    "footer": Rules(320, "never"),
}


class Contents(NamedTuple):
    """What an email says: a code, a link, or both; and whether they live for one minute more."""

    code: bool
    link: bool
    one_minute: bool


class Chosen(NamedTuple):
    """The words of an email, and their language."""

    lang: str
    subject: Template
    link: Template
    button: Template
    paste: Template
    code: Template
    expiry: Template
    footer: Template


def choose(settings: TenantSettings, locale: str | None, contents: Contents) -> Chosen:
    """Find the words for a reader. One that was stored and is none by today's rules is passed over."""
    own = settings.texts.email
    tags = [tag for tag in candidates(locale, settings.default_locale, FALLBACK) if tag in own or tag in WORDS]
    return Chosen(tags[0], *(_find(name, own, tags, contents) for name in RULES))


def problems(field: str, text: EmailText) -> list[FieldError]:
    """What is wrong with a tenant's own words."""
    errors = []
    for name, rules in RULES.items():
        given = getattr(text, name)
        if given is not None:
            try:
                parse(given, rules)
            except TemplateError as error:
                errors.append(FieldError(f"{field}.{name}", str(error)))
    return errors


def missing(settings: TenantSettings, tag: str) -> list[str]:
    """What a language that we have no words in still needs."""
    tags = list(candidates(tag))
    if any(each in WORDS for each in tags):
        return []
    given = [settings.texts.email[each] for each in tags if each in settings.texts.email]
    return [name for name in RULES if all(getattr(text, name) is None for text in given)]


def preview(settings: TenantSettings, locale: str, text: EmailText) -> TenantSettings:
    """The settings as they would be with these words. What is missing of the language may come from the stored ones."""
    texts = msgspec.structs.replace(settings.texts, email={**settings.texts.email, locale: text})
    return msgspec.structs.replace(settings, texts=texts)


def _find(name: str, own: dict[str, EmailText], tags: list[str], contents: Contents) -> Template:
    for tag in tags:
        if tag in own:
            with suppress(TemplateError):
                given = _own(name, own[tag], contents)
                if given is not None:
                    return given
        if tag in WORDS:
            return parse(_ours(name, WORDS[tag], contents), RULES[name])
    raise AssertionError("English is among the candidates")


def _own(name: str, text: EmailText, contents: Contents) -> Template | None:
    given = getattr(text, name)
    if given is None:
        return None
    template = parse(given, RULES[name])
    if template.uses("code") and not contents.code:
        return _own("button", text, contents)
    return template


def _ours(name: str, words: Words, contents: Contents) -> str:
    match name:
        case "subject":
            return words.subject_link if contents.link else words.subject_code
        case "code":
            return words.intro_or_code if contents.link else words.intro_code
        case "link":
            return words.intro_link
        case "expiry":
            return words.life_one if contents.one_minute else words.life_many
        case "footer":
            return words.ignore
    return words.button if name == "button" else words.paste
