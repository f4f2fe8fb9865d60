"""The plain text and HTML of an email with a code, a link, or both.

The code comes first. The HTML loads nothing but the tenant's logo, and is complete without it. Jinja escapes every
value.
"""

from typing import NamedTuple

from auth1.templates import html
from auth1.templates.colors import button_colors
from auth1.templates.email_words import Contents, find_words
from auth1.templates.locales import direction
from auth1.templates.placeholders import Template, minutes_left, to_one_line
from auth1.templates.schemas import Branding, Purpose


class EmailContent(NamedTuple):
    """The parts of an email beside its plain text. `sender_name` is the display name of the sender."""

    sender_name: str
    subject: str
    html: str
    lang: str = "en"


def render_email(
    branding: Branding,
    locale: str | None,
    *,
    code: str | None,
    link: str | None,
    expires_in: int,
    purpose: Purpose = "login",
) -> tuple[str, EmailContent]:
    """Render a code, a link, or both: the plain text, and the other parts of the email."""
    brand, minutes = to_one_line(branding.name), minutes_left(expires_in)
    words = find_words(branding, locale, Contents(code is not None, link is not None, minutes, purpose))

    def fill(template: Template) -> str:
        return template.render(brand=brand, code=code or "", minutes=minutes)

    subject, expiry, footer = fill(words.subject), fill(words.expiry), fill(words.footer)
    code_intro, link_intro = fill(words.code), fill(words.link)
    lines = [brand]
    if code is not None:
        lines += [code_intro, code]
    if link is not None:
        lines += [link_intro, link]
    page = html.EMAIL.render(
        lang=words.lang,
        dir=direction(words.lang),
        subject=subject,
        brand=brand,
        logo_url=branding.logo_url,
        heading=None,
        code=code,
        code_intro=code_intro,
        link=link,
        link_intro=link_intro,
        button=fill(words.button),
        colors=button_colors(branding.color),
        paste=fill(words.paste),
        expiry=expiry,
        footer=footer,
    )
    return "\n\n".join([*lines, expiry, footer]) + "\n", EmailContent(brand, subject, page, words.lang)
