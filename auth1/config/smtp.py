"""The mail server, as SMTP_URL and EMAIL_FROM name it."""

import re
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import msgspec

from auth1.config.urls import host_problem

# addr-spec in ASCII without quoting, alone or after a display name (RFC 5322, 3.4).
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,64}"
_SPEC = rf"{_ATOM}(?:\.{_ATOM})*@[A-Za-z0-9](?:[A-Za-z0-9.-]{{0,251}}[A-Za-z0-9])?"
_SENDER = re.compile(rf"({_SPEC})|[^<>\r\n]* ?<({_SPEC})>")
_EXAMPLE = "smtp://user:pass@host:587?starttls=true or smtps://user:pass@host"
CONSOLE = "console:"  # instead of a server: emails are printed
_STARTTLS = {"": None, "true": True, "false": False}


class SmtpSettings(msgspec.Struct, frozen=True):
    """The server, and the sender's address. `starttls` None: where the server offers it."""

    host: str
    port: int
    username: str | None
    password: str
    tls: bool
    starttls: bool | None
    sender: str


def read_smtp_url(url: str, sender: str) -> SmtpSettings:
    """Read `smtp://user:pass@host:587?starttls=true` or `smtps://…`. Raises ValueError: a sentence per problem.

    Without the parameter, STARTTLS is used where the server offers it, and always where there is a password.
    """
    problems = []
    address = _SENDER.fullmatch(sender)
    email = (address[1] or address[2]) if address is not None else ""
    if not email or "." not in email.rpartition("@")[2] or host_problem(email.rpartition("@")[2]):
        problems.append("EMAIL_FROM must be an address like no-reply@example.com or Name <no-reply@example.com>")
    parts = _split(url)
    if isinstance(parts, str):
        raise ValueError(*problems, f"SMTP_URL {parts}")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    tls, starttls = parts.scheme == "smtps", _STARTTLS[options.get("starttls", "")]
    if tls and starttls:
        problems.append("SMTP_URL has starttls=true with smtps://, which uses TLS from the start; remove the parameter")
    if problems:
        raise ValueError(*problems)
    user, password = (unquote(part or "") for part in (parts.username, parts.password))
    if user and starttls is None:
        starttls = not tls
    return SmtpSettings(
        host=parts.hostname or "",
        port=parts.port or (465 if tls else 587 if starttls else 25),
        username=user or None,
        password=password,
        tls=tls,
        starttls=starttls,
        sender=email,
    )


def _split(url: str) -> SplitResult | str:
    """Return the parts of a valid URL, or its problem."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return f"must look like {_EXAMPLE}; percent-encode special characters of the password: @ is %40, # is %23"
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname or parts.path.strip("/") or port == 0:
        return f"must look like {_EXAMPLE}"
    if parts.fragment or "@" in parts.netloc.rpartition("@")[0]:
        return "has a password with special characters; percent-encode them: @ is %40, # is %23, / is %2F"
    if problem := host_problem(parts.hostname):
        return problem
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := sorted(options.keys() - {"starttls"}):
        return f"has the parameter {unknown[0]}, which Auth1 does not support; starttls is the only one"
    if options.get("starttls", "") not in _STARTTLS or (parts.query and not options):
        return "must have starttls=true or starttls=false"
    return parts
