"""Notices: messages about a change to an account, sent where its user could be reached before the change.

They contain no code and no link, so that a reader who did not make the change uses a known way to the support. Each is
one SMS segment in the GSM 7-bit alphabet, with a brand of up to 30 characters.
"""

from auth1.templates import html
from auth1.templates.email import EmailContent
from auth1.templates.locales import direction, find
from auth1.templates.placeholders import to_one_line
from auth1.templates.schemas import Branding
from auth1.templates.strings import STRINGS

LIFE_S = 3600  # for which a provider may try to deliver one


def render_notice(branding: Branding, locale: str | None, notice: str, channel: str) -> tuple[str, EmailContent | None]:
    """Render a notice for its channel: the text, and the content of an email."""
    lang = find(STRINGS, locale, branding.default_locale)
    strings = STRINGS[lang]
    brand = to_one_line(branding.name)
    text: str = getattr(strings.notices, notice)
    fact = strings.template(text, 1).render(brand=brand, code="", minutes=1)
    advice = strings.notices.advice
    if channel == "sms":
        return f"{fact} {advice}", None
    subject = fact.removesuffix(".")
    page = html.EMAIL.render(
        lang=lang,
        dir=direction(lang),
        subject=subject,
        brand=brand,
        logo_url=branding.logo_url,
        heading=fact,
        code=None,
        link=None,
        footer=advice,
    )
    return f"{brand}\n\n{fact}\n\n{advice}\n", EmailContent(brand, subject, page, lang)
