"""Rules for the meaning of a tenant's name, settings and origins, checked when they are written.

The types in `settings` and `schemas` check the shape. A stored value that an older version accepted stays in force,
so these rules cover only what a request changes.
"""

import re
import unicodedata
from collections.abc import Collection, Iterator
from urllib.parse import urlsplit

import phonenumbers

from auth1.config.countries import country_problem
from auth1.config.urls import host_problem
from auth1.errors import FieldError, ValidationFailed
from auth1.templates.validation import check_texts
from auth1.tenants.languages import language_problem
from auth1.tenants.settings import TenantSettings

# Characters that phones or people read as a full stop or a slash, and that NFKC keeps: Arabic, Syriac, ideographic,
# Lisu and Vai full stops; fraction and division slashes.
_LOOKALIKES = str.maketrans({"۔": ".", "܁": ".", "܂": ".", "。": ".", "ꓸ": ".", "꘎": ".", "⁄": "/", "∕": "/", "⧸": "/"})
_LINK = re.compile(r"\w\.\w{2}|[/\\@:<>]|\bwww\b", re.IGNORECASE)
_ADDRESS = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}")
_NUMBER = re.compile(r"(?:\d[ ().+-]*){7,}")  # phones make a call link of it
_INVISIBLE_LETTERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
_INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_FIRST_UNASSIGNED_PORT = 65_536


def check_name(name: str) -> None:
    """Raise ValidationFailed unless a tenant's name can be printed in an SMS."""
    if problem := brand_problem(name):
        raise ValidationFailed(errors=[FieldError("name", problem)])


def check_settings(settings: TenantSettings, changed: Collection[str]) -> None:
    """Raise ValidationFailed with the problems of the changed settings."""
    errors = [
        FieldError(f"settings.{field}", problem)
        for field, problem in _setting_problems(settings)
        if re.split(r"[.\[]", field)[0] in changed
    ]
    if errors:
        raise ValidationFailed(errors=errors)
    check_texts(settings.texts)


def check_logo(settings: TenantSettings, stored: str | None) -> None:
    """Raise ValidationFailed unless the logo is the stored one: only the logo's own routes change it."""
    if settings.logo != stored:
        raise ValidationFailed(errors=[FieldError("settings.logo", "Change it with PUT or DELETE /api/tenant/logo.")])


def check_origins(origins: Collection[str]) -> None:
    """Raise ValidationFailed unless browsers can send each origin."""
    problems = ((f"allowed_origins[{index}]", _web_problem(origin)) for index, origin in enumerate(origins))
    if errors := [FieldError(field, problem) for field, problem in problems if problem]:
        raise ValidationFailed(errors=errors)


def brand_problem(text: str) -> str | None:
    """Return the reason that a text cannot be the sender's name in an SMS, or None."""
    if any(unicodedata.category(char) in _INVISIBLE_CATEGORIES or char in _INVISIBLE_LETTERS for char in text):
        return "Must not contain invisible characters."
    plain = unicodedata.normalize("NFKC", text).translate(_LOOKALIKES)
    if not any(char.isalnum() for char in plain):
        return "Must contain a letter or a digit."
    if _LINK.search(plain) or _ADDRESS.search(plain):
        return "Must not look like a link or an address: it is printed in SMS. Use a plain name."
    if _NUMBER.search(plain):
        return "Must not look like a phone number: it is printed in SMS. Use a plain name."
    return None


def _setting_problems(settings: TenantSettings) -> Iterator[tuple[str, str]]:
    """Yield each setting without meaning, and its problem."""
    for field, problem in _checks(settings):
        if problem is not None:
            yield field, problem


def _checks(settings: TenantSettings) -> Iterator[tuple[str, str | None]]:
    for index, country in enumerate(settings.allowed_countries or ()):
        yield f"allowed_countries[{index}]", country_problem(country)
    yield "default_locale", language_problem(settings.default_locale)
    for channel in ("sms", "sms_add", "email"):
        for tag in getattr(settings.texts, channel):
            yield f"texts.{channel}.{tag[:64]}", language_problem(tag[:64])
    for tag in settings.login_page.texts:
        yield f"login_page.texts.{tag[:64]}", language_problem(tag[:64])
    for name in ("terms_url", "privacy_url"):
        url = getattr(settings.login_page, name)
        yield f"login_page.{name}", None if url is None else _web_problem(url)
    yield "sms_branding", None if settings.sms_branding is None else brand_problem(settings.sms_branding)
    for index, uri in enumerate(settings.redirect_uris):
        yield f"redirect_uris[{index}]", _web_problem(uri)
    for country, senders in settings.sms_senders.items():
        yield f"sms_senders.{country}", None if country == "*" else country_problem(country)
        yield f"sms_senders.{country}.twilio", _sender_problem(senders.twilio)
        yield f"sms_senders.{country}.sns", _sender_problem(senders.sns)


def _web_problem(url: str) -> str | None:
    """Return the reason that no browser can open the host and port of a URL, or None. The URL has the right form."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "Must have an IPv6 address between the brackets."
    _, colon, port = parts.netloc.rpartition("@")[2].rpartition(":")
    if colon and port.isdigit() and not 0 < int(port) < _FIRST_UNASSIGNED_PORT:
        return "Must have a port from 1 to 65535."
    problem = host_problem(parts.hostname or "") if parts.scheme in ("http", "https") else None
    return f"This URL {problem}." if problem else None


def _sender_problem(sender: str | None) -> str | None:
    """Return the problem of a sender that is a phone number, or None."""
    if sender is None or not sender.startswith("+"):
        return None
    try:
        is_possible = phonenumbers.is_possible_number(phonenumbers.parse(sender))
    except phonenumbers.NumberParseException:
        is_possible = False
    return None if is_possible else "Must be a phone number that exists, in E.164."
