"""The text of a code by SMS, in the language of its reader and in the tenant's own words where it has some.

Languages are looked up as RFC 4647 (3.4) does: pt-BR, pt, then the tenant's default, then English. At each step the
tenant's own template comes before the built-in text.
"""

from contextlib import suppress
from typing import NamedTuple

from auth1.templates.locales import FALLBACK, candidates
from auth1.templates.placeholders import SMS, Template, TemplateError, minutes_left, parse
from auth1.templates.schemas import Branding, Purpose
from auth1.templates.strings import STRINGS


class SmsTemplate(NamedTuple):
    """A template and its language."""

    lang: str
    template: Template


def find_template(branding: Branding, locale: str | None, minutes: int, purpose: Purpose = "login") -> SmsTemplate:
    """Find the template for a reader. A stored template that is invalid by today's rules is ignored."""
    own = branding.texts.sms if purpose == "login" else branding.texts.sms_add
    for tag in candidates(locale, branding.default_locale, FALLBACK):
        if tag in own:
            with suppress(TemplateError):
                return SmsTemplate(tag, parse(own[tag]))
        if tag in STRINGS:
            strings = STRINGS[tag]
            text = strings.sms.login if purpose == "login" else strings.sms.add
            return SmsTemplate(tag, strings.template(text, minutes, SMS))
    raise AssertionError("English is among the candidates")


def render_sms(branding: Branding, locale: str | None, code: str, expires_in: int, purpose: Purpose = "login") -> str:
    """Render a code for an SMS, with the minutes that remain of `expires_in` seconds."""
    minutes = minutes_left(expires_in)
    return fill(branding, find_template(branding, locale, minutes, purpose).template, code, minutes)


def fill(branding: Branding, template: Template, code: str, minutes: int) -> str:
    """Fill in a template, and append the line that browsers read the code from."""
    text = template.render(brand=branding.name, code=code, minutes=minutes)
    if branding.autofill_host is not None:
        # WICG, "Origin-bound one-time codes delivered via SMS", section 3: browsers offer the code to this host only.
        text += f"\n@{branding.autofill_host} #{code}"
    return text
