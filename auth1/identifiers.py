"""Parse phones and emails strictly, and normalise them.

"Possible" is the test for phones (length and country code), not "valid": numbering plans change faster than metadata,
and the guide's own +15551234567 is not assigned. The raw text must be plain ASCII first, because the parser would map
NUL, full-width digits, `tel:` and letters all to one number.
"""

import re
from functools import lru_cache
from typing import Literal, NamedTuple

import phonenumbers
from phonenumbers import PhoneNumber, PhoneNumberType, ValidationResult

from auth1 import numbering
from auth1.errors import FieldError, InvalidEmail, InvalidPhone, ValidationFailed

Channel = Literal["sms", "email"]
IdentifierType = Literal["phone", "email"]

_PHONE = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)  # E.164
_EMAIL_LOCAL = re.compile(r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*", re.ASCII)
_EMAIL_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)

# Country codes without a country (ITU E.164, assigned): freephone 800, shared cost 808, satellite 870 and 881,
# personal 878, networks 882 and 883 (satellite and toll-fraud routes), disaster relief 888, premium 979.
_NON_GEOGRAPHIC = frozenset({800, 808, 870, 878, 881, 882, 883, 888, 979})
_EMERGENCY = frozenset({"000", "110", "112", "118", "119", "911", "999"})
_BLOCK_DIGITS = 3  # a block is 1,000 numbers that differ in their last three digits

TYPES: dict[Channel, IdentifierType] = {"sms": "phone", "email": "email"}
CHANNELS: dict[str, Channel] = {"phone": "sms", "email": "email"}


class Identifier(NamedTuple):
    """A normalised identifier: +15551234567, or a@b.co in lower case. `country` and `line` are null for an email."""

    value: str
    channel: Channel
    masked: str  # the masked form: +1•••••••567, or a•••@b.co
    country: str | None = None  # ISO 3166-1 alpha-2, or 001
    line: int | None = None  # phonenumbers.PhoneNumberType

    @property
    def type(self) -> IdentifierType:
        """Return its type."""
        return TYPES[self.channel]

    @property
    def block(self) -> str | None:
        """Return the block of 1,000 numbers that contains this one."""
        return self.value[:-_BLOCK_DIGITS] if self.channel == "sms" else None


def parse_identifier(*, phone: str | None, email: str | None) -> Identifier:
    """Parse the identifier of a body. Raises ValidationFailed unless it is exactly one, InvalidPhone, InvalidEmail."""
    if (phone is None) == (email is None):
        raise ValidationFailed(errors=[FieldError("phone", "Exactly one of phone and email is required.")])
    return parse_phone(phone) if phone is not None else parse_email(email or "")


def parse_phone(text: str) -> Identifier:
    """Parse a phone number in E.164. Raises InvalidPhone."""
    if not is_e164(text):
        raise InvalidPhone
    number = numbering.look_up(text)
    if number is None:
        return parse_by_phonenumbers(text)
    if number.line == PhoneNumberType.PREMIUM_RATE or number.national.lstrip("0") in _EMERGENCY:
        raise InvalidPhone
    return _phone(text, number.country_code, number.country, number.line)


def parse_by_phonenumbers(text: str) -> Identifier:
    """Parse a phone number in E.164 with phonenumbers alone. Raises InvalidPhone."""
    try:
        number = phonenumbers.parse(text)
    except phonenumbers.NumberParseException:
        raise InvalidPhone from None
    if not _is_accepted(number):
        raise InvalidPhone
    return _describe(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164), number)


@lru_cache(maxsize=1024)
def parse_email(text: str) -> Identifier:
    """Parse local@domain in ASCII (RFC 5321 without quoting and literals). Raises InvalidEmail."""
    local, at, domain = text.lower().rpartition("@")
    labels = domain.split(".")
    if (
        not text.isascii()
        or not at
        or len(text) > 254
        or len(local) > 64
        or not _EMAIL_LOCAL.fullmatch(local)
        or len(labels) < 2
        or not all(_EMAIL_LABEL.fullmatch(label) for label in labels)
        or labels[-1].isdigit()
    ):
        raise InvalidEmail
    return Identifier(f"{local}@{domain}", "email", f"{local[0]}•••@{domain}")


def stored_identifier(identifier_type: IdentifierType, value: str) -> Identifier:
    """Describe a stored phone or email, also one that today's rules reject. An unknown country is None."""
    if identifier_type == "email":
        local, _, domain = value.rpartition("@")
        return Identifier(value, "email", f"{local[:1]}•••@{domain}")
    number = numbering.look_up(value)
    if number is not None:
        return _phone(value, number.country_code, number.country, number.line)
    try:
        return _describe(value, phonenumbers.parse(value))
    except phonenumbers.NumberParseException:
        return Identifier(value, "sms", _mask(value, 1))


def is_e164(text: str) -> bool:
    """Return whether a text has the form of a phone number, also where no numbering plan contains it."""
    return _PHONE.fullmatch(text) is not None


def _is_accepted(number: PhoneNumber) -> bool:
    """Return whether today's numbering plans accept a number."""
    return (
        phonenumbers.is_possible_number_with_reason(number) == ValidationResult.IS_POSSIBLE
        and number.country_code not in _NON_GEOGRAPHIC
        and phonenumbers.number_type(number) != PhoneNumberType.PREMIUM_RATE
        and str(number.national_number) not in _EMERGENCY
    )


def _describe(value: str, number: PhoneNumber) -> Identifier:
    country = phonenumbers.region_code_for_number(number) or phonenumbers.region_code_for_country_code(
        number.country_code or 0
    )
    return _phone(value, str(number.country_code), country, phonenumbers.number_type(number))


def _phone(value: str, country_code: str, country: str, line: int) -> Identifier:
    return Identifier(value, "sms", _mask(value, len(country_code)), country, line)


def _mask(phone: str, code_digits: int) -> str:
    """Hide the digits between the country code and the last three."""
    plus_code = 1 + code_digits
    return phone[:plus_code] + "•" * (len(phone) - plus_code - 3) + phone[-3:]
