"""Compare the look-up of phone numbers with phonenumbers, its oracle.

    python -m tests.support.phone_numbers [--count 1000000] [--seed 0]

Half of the numbers are random digits of every country code. The others are the examples of phonenumbers for each region
and line type: with changed digits, with other lengths, with national prefixes.
"""

import argparse
import random
import sys
import time
from collections.abc import Iterator
from itertools import islice

import phonenumbers
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata, PhoneNumberType

from auth1 import numbering
from auth1.errors import InvalidPhone
from auth1.identifiers import Identifier, is_e164, parse_by_phonenumbers, parse_phone

CODES = [str(code) for code in COUNTRY_CODE_TO_REGION_CODE] + ["21", "99", "999"]  # the last three are unassigned
MAX_DIGITS = 15


def random_phones(seed: int) -> Iterator[str]:
    """Yield numbers in the form of E.164, without end."""
    draw = random.Random(seed)
    examples = list(example_phones())
    while True:
        yield random_digits(draw)
        yield changed_digits(draw, *draw.choice(examples))


def example_phones() -> Iterator[tuple[str, str, str]]:
    """Yield the country code, an example and the national prefix of each region and line type."""
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        metadata = PhoneMetadata.metadata_for_region(region)
        prefix = (metadata and metadata.national_prefix) or "0"
        for line in PhoneNumberType.values():
            number = phonenumbers.example_number_for_type(region, line)
            if number is not None:
                yield str(number.country_code), phonenumbers.national_significant_number(number), prefix


def random_digits(draw: random.Random) -> str:
    code = draw.choice(CODES)
    length = draw.randint(4, MAX_DIGITS - len(code))
    return f"+{code}{draw.randrange(10**length):0{length}d}"


def changed_digits(draw: random.Random, code: str, national: str, prefix: str) -> str:
    """Return an example with up to four other digits; one in eight has another length, one in eight a prefix."""
    digits = list(national)
    for _ in range(draw.randint(0, 4)):
        digits[draw.randrange(len(digits))] = draw.choice("0123456789")
    text = "".join(digits)
    match draw.randrange(8):
        case 0:
            text = text[: draw.randint(4, len(text))] + "7" * draw.randint(0, 2)
        case 1:
            text = prefix + text
    return f"+{code}{text}"[: 1 + MAX_DIGITS]


def outcome_of(phone: str) -> Identifier | None:
    """Return what Auth1 makes of a number; None for a rejected one."""
    try:
        return parse_phone(phone)
    except InvalidPhone:
        return None


def oracle_of(phone: str) -> Identifier | None:
    """Return what phonenumbers makes of a number; None for a rejected one."""
    try:
        return parse_by_phonenumbers(phone) if is_e164(phone) else None
    except InvalidPhone:
        return None


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.support.phone_numbers", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    differing = accepted = looked_up = 0
    fast_s = oracle_s = 0.0
    for phone in islice(random_phones(options.seed), options.count):
        started = time.process_time()
        outcome = outcome_of(phone)
        parsed = time.process_time()
        expected = oracle_of(phone)
        if outcome is not None and numbering.look_up(phone) is not None:
            looked_up += 1
            fast_s += parsed - started
            oracle_s += time.process_time() - parsed
        accepted += outcome is not None
        if outcome != expected:
            differing += 1
            print(f"{phone}: {outcome}, but phonenumbers: {expected}")
    print(f"{options.count} numbers: {accepted} accepted, {looked_up} of them looked up, {differing} differ")
    times = " µs, phonenumbers ".join(f"{seconds / looked_up * 1e6:.1f}" for seconds in (fast_s, oracle_s))
    print(f"CPU per number that is looked up: {times} µs")
    sys.exit(differing > 0)


if __name__ == "__main__":
    main()
