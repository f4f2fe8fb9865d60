"""Read the fields of forms: an email, a phone number in the form of its country, or a code."""

import unicodedata
from collections.abc import Iterable
from typing import NamedTuple

import phonenumbers
from phonenumbers import PhoneNumber, PhoneNumberFormat

from auth1.errors import InvalidPhone
from auth1.identifiers import Channel, Identifier, parse_email, parse_phone
from auth1.templates.locales import normalise
from auth1.templates.strings import STRINGS
from auth1.tenants.settings import TenantSettings

MAX_CHARACTERS = 320
_SEPARATORS = frozenset(" -.()/\u00a0\u2010\u2011\u2012\u2013\u202d\u202c\u200e\u200f\t")


class Typed(NamedTuple):
    """A phone or an email. A number without its country code `needs_confirmation`: its country is a guess."""

    identifier: Identifier
    needs_confirmation: bool


def read_identifier(text: str, channel: Channel | None, countries: Iterable[str]) -> Typed:
    """Read a phone or an email; `channel` allows only one of them. Raises InvalidPhone, InvalidEmail."""
    text = text.strip()[:MAX_CHARACTERS]
    if channel == "email" or (channel is None and "@" in text):
        return Typed(parse_email(text), needs_confirmation=False)
    number = _dial(text)
    if number.startswith("+"):
        return Typed(parse_phone(number), needs_confirmation=False)
    return Typed(parse_phone(_with_country(number, countries)), needs_confirmation=True)


def read_code(text: str) -> str:
    """Return the ASCII digits of a code, without spaces and hyphens. Other characters stay."""
    return "".join(_digit(character) for character in text if character not in _SEPARATORS)


def is_code(text: str) -> bool:
    """Return whether a text can be a code."""
    return text.isascii() and text.isdigit() and 4 <= len(text) <= 12


def countries_of(settings: TenantSettings, tags: Iterable[str]) -> list[str]:
    """Return the countries of a number without a country code, the likeliest first.

    `tags` are the languages of the browser. A tenant may allow only some countries.
    """
    found = [country for tag in (*tags, settings.default_locale) if (country := _country(tag)) is not None]
    allowed = settings.allowed_countries
    if allowed is not None:
        found = [country for country in (*found, *allowed) if country in allowed]
    return list(dict.fromkeys(found))


def shown_number(identifier: Identifier) -> str:
    """Return a phone number as people read it: +1 202-555-0123."""
    return phonenumbers.format_number(phonenumbers.parse(identifier.value), PhoneNumberFormat.INTERNATIONAL)


def _country(tag: str) -> str | None:
    language, *rest = normalise(tag).split("-")
    region = next((part for part in rest if len(part) == 2 and part.isalpha()), None)
    if region is not None:
        return region.upper()
    return STRINGS[language].country if language in STRINGS else None


def _dial(text: str) -> str:
    """Return the digits of a number, after a plus sign if its country code is there. Raises InvalidPhone."""
    number = "".join(_digit(character) for character in text if character not in _SEPARATORS)
    if number.startswith("00"):
        number = f"+{number[2:]}"
    if not number.removeprefix("+").isdecimal() or not number.isascii():
        raise InvalidPhone
    return number


def _digit(character: str) -> str:
    """Return the ASCII form of a digit of any script, and of a full-width plus sign."""
    value = unicodedata.decimal(character, None)
    return str(value) if value is not None else {"\uff0b": "+"}.get(character, character)


def _with_country(number: str, countries: Iterable[str]) -> str:
    """Return a national number in E.164: in the first country where it is valid. Raises InvalidPhone."""
    parsed = [found for country in countries if (found := _parse(number, country)) is not None]
    valid = [found for found in parsed if phonenumbers.is_valid_number(found)]
    possible = [found for found in parsed if phonenumbers.is_possible_number(found)]
    for found in (*valid, *possible):
        return phonenumbers.format_number(found, PhoneNumberFormat.E164)
    raise InvalidPhone


def _parse(number: str, country: str) -> PhoneNumber | None:
    try:
        return phonenumbers.parse(number, country)
    except phonenumbers.NumberParseException:
        return None
