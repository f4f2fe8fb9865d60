"""What a message says: in the language of its reader, in the words of the tenant where it has its own.

A language is looked for as RFC 4647 (3.4) does: pt-BR, pt, then the tenant's default, then English. At each step a
tenant's own template wins over the built-in one.
"""

import math
from contextlib import suppress
from typing import NamedTuple

from auth1.errors import FieldError, ValidationFailed
from auth1.messaging import mail_texts
from auth1.messaging.locales import FALLBACK, candidates, is_tag
from auth1.messaging.templates import Template, TemplateError, parse
from auth1.tenants.settings import TenantSettings

NO_TAG = "Not spelled like a language tag: es, pt-BR, zh-Hant, es-419"


class Wording(NamedTuple):
    """A text for many minutes, and for one."""

    many: Template
    one: Template


class Choice(NamedTuple):
    """The wording that was found, and for which locale."""

    locale: str
    wording: Wording


def _wording(many: str, one: str) -> Wording:
    return Wording(parse(many), parse(one))


# Each keeps to the GSM alphabet, so that with a brand of 30 characters it is one segment: no á, í, ó, ú, ç, ã, ê. That
# is why it is a clave in Spanish and a PIN in Portuguese.
BUILT_IN: dict[str, Wording] = {
    "en": _wording(
        "Your {brand} verification code is: {code}. Expires in {minutes} minutes.",
        "Your {brand} verification code is: {code}. Expires in {minutes} minute.",
    ),
    "es": _wording(
        "Tu clave de un solo uso para {brand} es: {code}. Caduca en {minutes} minutos.",
        "Tu clave de un solo uso para {brand} es: {code}. Caduca en {minutes} minuto.",
    ),
    "fr": _wording(
        "Votre code de vérification {brand} est : {code}. Il expire dans {minutes} minutes.",
        "Votre code de vérification {brand} est : {code}. Il expire dans {minutes} minute.",
    ),
    "de": _wording(
        "Ihr Bestätigungscode für {brand} lautet: {code}. Er ist {minutes} Minuten gültig.",
        "Ihr Bestätigungscode für {brand} lautet: {code}. Er ist {minutes} Minute gültig.",
    ),
    "pt": _wording(
        "O seu PIN para {brand} é: {code}. Expira em {minutes} minutos.",
        "O seu PIN para {brand} é: {code}. Expira em {minutes} minuto.",
    ),
    "it": _wording(
        "Il tuo codice di verifica per {brand} è: {code}. Scade tra {minutes} minuti.",
        "Il tuo codice di verifica per {brand} è: {code}. Scade tra {minutes} minuto.",
    ),
}


def choose(settings: TenantSettings, locale: str | None) -> Choice:
    """Find the wording of an SMS. A template that was stored and is none by today's rules is passed over."""
    own = settings.texts.sms
    for tag in candidates(locale, settings.default_locale):
        if tag in own:
            with suppress(TemplateError):
                template = parse(own[tag])
                return Choice(tag, Wording(template, template))
        if tag in BUILT_IN:
            return Choice(tag, BUILT_IN[tag])
    return Choice(FALLBACK, BUILT_IN[FALLBACK])


def sms_code(name: str, settings: TenantSettings, locale: str | None, code: str, expires_in_s: int) -> str:
    """Say a code in an SMS, with the minutes that remain. `name` is the tenant's."""
    return word_sms(choose(settings, locale).wording, name, settings, code, expires_in_s)


def word_sms(wording: Wording, name: str, settings: TenantSettings, code: str, expires_in_s: int) -> str:
    """Say a code in these words."""
    minutes = max(1, math.ceil(expires_in_s / 60))
    template = wording.one if minutes == 1 else wording.many
    text = template.render(brand=settings.sms_branding or name, code=code, minutes=minutes)
    if settings.sms_autofill_host is not None:
        # WICG, "Origin-bound one-time codes delivered via SMS", section 3: browsers offer the code to this host alone.
        text += f"\n@{settings.sms_autofill_host} #{code}"
    return text


def check(settings: TenantSettings) -> None:
    """Refuse texts that cannot be sent, when they are written. Raises ValidationFailed, which names each of them."""
    errors = []
    for tag, text in settings.texts.sms.items():
        field = f"settings.texts.sms.{tag[:64]}"
        if not is_tag(tag):
            errors.append(FieldError(field, NO_TAG))
        try:
            parse(text)
        except TemplateError as error:
            errors.append(FieldError(field, str(error)))
    for tag in settings.texts.email:
        field = f"settings.texts.email.{tag[:64]}"
        if not is_tag(tag):
            errors.append(FieldError(field, NO_TAG))
        errors += email_problems(settings, tag, field)
    if errors:
        raise ValidationFailed(errors=errors)


def email_problems(settings: TenantSettings, tag: str, field: str) -> list[FieldError]:
    """What is wrong with a tenant's words for emails in one language."""
    errors = mail_texts.problems(field, settings.texts.email[tag])
    if missing := mail_texts.missing(settings, tag):
        errors.append(FieldError(field, f"We have no words in this language: needs {', '.join(missing)} too"))
    return errors
