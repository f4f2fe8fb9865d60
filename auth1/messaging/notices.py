"""Notices: what a person is told of a change to their account, where they could be reached before it.

Short, and without a code or a link: somebody who did not make the change should go where they always go. As an SMS each
keeps to the GSM alphabet, and with a brand of 30 characters it is one segment.
"""

import html
from typing import NamedTuple

from auth1.messaging import locales, mails
from auth1.messaging.providers.protocol import Letter
from auth1.tenants.settings import TenantSettings

LIFE_S = 3600  # for which a provider may try


class NoticeWords(NamedTuple):
    """One language: what happened, by notice, and what to do if it was somebody else."""

    facts: dict[str, str]
    advice: str


WORDS: dict[str, NoticeWords] = {
    "en": NoticeWords(
        {
            "phone_added": "A phone number was added to your {brand} account.",
            "phone_changed": "The phone number of your {brand} account was changed.",
            "phone_removed": "The phone number was removed from your {brand} account.",
            "email_added": "An email address was added to your {brand} account.",
            "email_changed": "The email address of your {brand} account was changed.",
            "email_removed": "The email address was removed from your {brand} account.",
        },
        "If it was not you, contact support.",
    ),
    "es": NoticeWords(
        {
            "phone_added": "Se ha agregado un teléfono a tu cuenta de {brand}.",
            "phone_changed": "Se ha cambiado el teléfono de tu cuenta de {brand}.",
            "phone_removed": "Se ha quitado el teléfono de tu cuenta de {brand}.",
            "email_added": "Se ha agregado un correo a tu cuenta de {brand}.",
            "email_changed": "Se ha cambiado el correo de tu cuenta de {brand}.",
            "email_removed": "Se ha quitado el correo de tu cuenta de {brand}.",
        },
        "Si no lo reconoces, contacta con soporte.",
    ),
    "fr": NoticeWords(
        {
            "phone_added": "Un numéro a été ajouté à votre compte {brand}.",
            "phone_changed": "Le numéro de votre compte {brand} a été changé.",
            "phone_removed": "Le numéro a été retiré de votre compte {brand}.",
            "email_added": "Une adresse e-mail a été ajoutée à votre compte {brand}.",
            "email_changed": "L'adresse e-mail de votre compte {brand} a été changée.",
            "email_removed": "L'adresse e-mail a été retirée de votre compte {brand}.",
        },
        "Si ce n'était pas vous, contactez le support.",
    ),
    "de": NoticeWords(
        {
            "phone_added": "Ihrem Konto bei {brand} wurde eine Telefonnummer hinzugefügt.",
            "phone_changed": "Die Telefonnummer Ihres Kontos bei {brand} wurde geändert.",
            "phone_removed": "Die Telefonnummer Ihres Kontos bei {brand} wurde entfernt.",
            "email_added": "Ihrem Konto bei {brand} wurde eine E-Mail-Adresse hinzugefügt.",
            "email_changed": "Die E-Mail-Adresse Ihres Kontos bei {brand} wurde geändert.",
            "email_removed": "Die E-Mail-Adresse Ihres Kontos bei {brand} wurde entfernt.",
        },
        "Falls Sie das nicht waren, wenden Sie sich an den Support.",
    ),
    "pt": NoticeWords(
        {
            "phone_added": "Um telefone foi adicionado à sua conta {brand}.",
            "phone_changed": "O telefone da sua conta {brand} foi alterado.",
            "phone_removed": "O telefone foi removido da sua conta {brand}.",
            "email_added": "Um e-mail foi adicionado à sua conta {brand}.",
            "email_changed": "O e-mail da sua conta {brand} foi alterado.",
            "email_removed": "O e-mail foi removido da sua conta {brand}.",
        },
        "Se foi outra pessoa, contacte o apoio.",
    ),
    "it": NoticeWords(
        {
            "phone_added": "Un numero di telefono è stato aggiunto al tuo account {brand}.",
            "phone_changed": "Il numero di telefono del tuo account {brand} è stato cambiato.",
            "phone_removed": "Il numero di telefono è stato rimosso dal tuo account {brand}.",
            "email_added": "Un indirizzo e-mail è stato aggiunto al tuo account {brand}.",
            "email_changed": "L'indirizzo e-mail del tuo account {brand} è stato cambiato.",
            "email_removed": "L'indirizzo e-mail è stato rimosso dal tuo account {brand}.",
        },
        "Se non sei stato tu, contatta l'assistenza.",
    ),
}


def write(
    name: str, settings: TenantSettings, locale: str | None, notice: str, channel: str
) -> tuple[str, Letter | None]:
    """Word a notice for its channel: the text, and what an email has beside it. `name` is the tenant's."""
    lang = locales.find(WORDS, locale, settings.default_locale)
    words = WORDS[lang]
    brand = mails.one_line(settings.sms_branding or name)
    fact = words.facts[notice].format(brand=brand)
    if channel == "sms":
        return f"{fact} {words.advice}", None
    page = mails.page(lang, brand, fact, [f"<p>{html.escape(fact)}</p>"], words.advice)
    return f"{brand}\n\n{fact}\n\n{words.advice}\n", Letter(brand, fact, page, lang)
