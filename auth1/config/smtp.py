"""The server that takes email, as SMTP_URL and EMAIL_FROM name it."""

import re
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

# addr-spec in ASCII without quoting, alone or after a display name (RFC 5322, 3.4).
_SPEC = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?"
_SENDER = re.compile(rf"({_SPEC})|[^<>\r\n]* ?<({_SPEC})>")
CONSOLE = "console:"  # instead of a server: mails are printed
_STARTTLS = {"": None, "true": True, "false": False}


class Smtp(msgspec.Struct, frozen=True):
    """The server, and the address that mail comes from. `starttls` null: where the server offers it."""

    host: str
    port: int
    username: str | None
    password: str
    tls: bool
    starttls: bool | None
    sender: str


def read_smtp_url(url: str, sender: str) -> Smtp:
    """Read `smtp://user:pass@host:587?starttls=true` or `smtps://…`. Raises ValueError: a sentence per problem.

    Without `starttls` it is used where the server offers it; but a password never travels in the clear unless the
    operator says so.
    """
    problems = []
    address = _SENDER.fullmatch(sender)
    if address is None:
        problems.append("EMAIL_FROM must be an address like no-reply@example.com or Name <no-reply@example.com>")
    try:
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
        tls = {"smtp": False, "smtps": True}[parts.scheme]
        starttls = _STARTTLS[options.pop("starttls", "")]
        host, port = parts.hostname, parts.port
        sound = bool(host) and not (options or parts.path.strip("/") or parts.fragment or (tls and starttls))
    except (ValueError, KeyError):
        sound = False
    if not sound:
        problems.append("SMTP_URL must look like smtp://user:pass@host:587?starttls=true or smtps://user:pass@host")
    if problems or address is None:
        raise ValueError(*problems)
    user, password = (unquote(part or "") for part in (parts.username, parts.password))
    if user and starttls is None:
        starttls = not tls
    return Smtp(
        host=host or "",
        port=port or (465 if tls else 587 if starttls else 25),
        username=user or None,
        password=password,
        tls=tls,
        starttls=starttls,
        sender=address[1] or address[2],
    )
