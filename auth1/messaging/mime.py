"""An email as it is sent (RFC 5322). Headers are structured and one line each; the text is plain and HTML."""

import html
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from auth1.messaging.providers.protocol import OutgoingMessage
from auth1.templates.email import EmailContent
from auth1.templates.placeholders import to_one_line


def compose(message: OutgoingMessage, sender: str, message_id: str, date: datetime) -> bytes:
    """Return the bytes of an email. `message_id` is without its brackets."""
    content = message.email or EmailContent("", message.text.partition("\n")[0], f"<p>{html.escape(message.text)}</p>")
    mail = EmailMessage(policy=SMTP)
    mail["From"] = Address(to_one_line(content.sender_name), addr_spec=sender)
    mail["To"] = Address(addr_spec=message.to)
    mail["Subject"] = to_one_line(content.subject)
    mail["Date"] = format_datetime(date)
    mail["Message-ID"] = f"<{message_id}>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no automatic replies
    mail.set_content(message.text, cte="quoted-printable")
    mail.add_alternative(content.html, subtype="html", cte="quoted-printable")
    return mail.as_bytes()
