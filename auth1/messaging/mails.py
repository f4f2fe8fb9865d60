"""An email: what it says, and how it is written down (RFC 5322).

Its headers are structured ones only, its text is plain and HTML alike, with no image, no script and nothing to load
from anywhere. Whatever comes from outside is escaped, and a header is one line.
"""

import html
import math
import unicodedata
from collections.abc import Sequence
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from auth1.messaging import colors, mail_texts
from auth1.messaging.mail_texts import Contents
from auth1.messaging.providers.protocol import Letter, Outgoing
from auth1.messaging.templates import Template
from auth1.tenants.settings import TenantSettings

_RIGHT_TO_LEFT = frozenset({"ar", "ckb", "dv", "fa", "he", "ps", "sd", "ug", "ur", "yi"})
_FONT = "font-family:system-ui,-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif"
_PAGE = """\
<!doctype html>
<html lang="{lang}" dir="{dir}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>{subject}</title>
</head>
<body style="margin:0;padding:24px;{font};font-size:16px;line-height:1.5">
<div style="max-width:32em;margin:0 auto">
<p style="font-weight:600;font-size:18px">{brand}</p>
{parts}
<p style="font-size:14px;opacity:.8">{ignore}</p>
</div>
</body>
</html>
"""
_CODE = """\
<p>{intro}</p>
<p style="font-size:32px;font-weight:700;letter-spacing:4px;font-family:ui-monospace,Menlo,monospace">{code}</p>"""
_LINK = """\
<p>{intro}</p>
<p><a href="{link}" style="display:inline-block;padding:12px 20px;border-radius:6px;background:{ground};\
color:{letters};border:1px solid {letters};text-decoration:none;font-weight:600">{button}</a></p>
<p style="font-size:14px;opacity:.8">{paste}<br><a href="{link}" style="word-break:break-all">{link}</a></p>"""


def write(
    name: str, settings: TenantSettings, locale: str | None, *, code: str | None, link: str | None, expires_in: int
) -> tuple[str, Letter]:
    """Say a code, a link, or both: the plain text, and what an email has beside it. `name` is the tenant's."""
    brand = one_line(settings.sms_branding or name)
    minutes = max(1, math.ceil(expires_in / 60))
    words = mail_texts.choose(settings, locale, Contents(code is not None, link is not None, minutes == 1))

    def say(template: Template) -> str:
        return template.render(brand=brand, code=code or "", minutes=minutes)

    lines, parts = [brand], []
    if link is not None:
        intro, paste, button = say(words.link), say(words.paste), colors.button(settings.brand_color)
        lines += [intro, link]
        parts.append(
            _LINK.format(
                intro=html.escape(intro),
                link=html.escape(link),
                button=html.escape(say(words.button)),
                paste=html.escape(paste),
                ground=button.ground,
                letters=button.letters,
            )
        )
    if code is not None:
        intro = say(words.code)
        lines += [intro, code]
        parts.append(_CODE.format(intro=html.escape(intro), code=html.escape(code)))
    subject, expiry, footer = say(words.subject), say(words.expiry), say(words.footer)
    parts.append(f"<p>{html.escape(expiry)}</p>")
    html_page = page(words.lang, brand, subject, parts, footer)
    return "\n\n".join([*lines, expiry, footer]) + "\n", Letter(brand, subject, html_page, words.lang)


def page(lang: str, brand: str, subject: str, parts: Sequence[str], footer: str) -> str:
    """The HTML of an email. `parts` are HTML already; the rest is text."""
    return _PAGE.format(
        lang=html.escape(lang),
        dir="rtl" if lang.partition("-")[0] in _RIGHT_TO_LEFT else "ltr",
        subject=html.escape(subject),
        brand=html.escape(brand),
        parts="\n".join(parts),
        ignore=html.escape(footer),
        font=_FONT,
    )


def compose(message: Outgoing, sender: str, message_id: str, date: datetime) -> bytes:
    """Write an email down as it goes over the wire. `message_id` is without its brackets."""
    letter = message.letter or Letter("", message.text.partition("\n")[0], f"<p>{html.escape(message.text)}</p>")
    mail = EmailMessage(policy=SMTP)
    mail["From"] = Address(one_line(letter.brand), addr_spec=sender)
    mail["To"] = Address(addr_spec=message.to)
    mail["Subject"] = one_line(letter.subject)
    mail["Date"] = format_datetime(date)
    mail["Message-ID"] = f"<{message_id}>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no holiday notes back
    mail.set_content(message.text, cte="quoted-printable")
    mail.add_alternative(letter.html, subtype="html", cte="quoted-printable")
    return mail.as_bytes()


def one_line(text: str) -> str:
    """Bring a name to one line of what can be seen: no line ends, controls, or marks that turn the text around.

    Nor encoded words (RFC 2047): `email` would decode those, and write the line ends in them as line ends.
    """
    visible = (" " if unicodedata.category(sign)[0] in "CZ" else sign for sign in text)
    return " ".join("".join(visible).replace("=?", "= ?").split())
