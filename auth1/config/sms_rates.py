"""Prices of SMS per segment and country, read from a CSV file.

Prices are integers in millionths of a US dollar, so that sums are exact.
"""

import re
from decimal import Decimal
from pathlib import Path

from auth1.config.countries import country_problem

BUILT_IN = Path(__file__).parent / "sms_rates.csv"  # rough estimates; SMS_RATES_FILE replaces them
MAX_BYTES = 64 * 1024
MICRO = 1_000_000
_HEADER = "country,price"
_COUNTRY = re.compile(r"[A-Z]{2}|\*", re.ASCII)
_PRICE = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,6})?", re.ASCII)


class Rates(dict[str | None, int]):
    """Prices per segment by country; `*` is the price of all other countries, and of an unknown one."""

    def __missing__(self, country: str | None) -> int:
        return self["*"] if country != "*" else 0


def read_sms_rates(path: Path) -> Rates:
    """Read a table with `country,price` on each line; # begins a comment.

    Raises ValueError with a sentence per problem.
    """
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(MAX_BYTES + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read: {getattr(error, 'strerror', 'it is not UTF-8 text')}") from None
    if len(text) > MAX_BYTES:
        raise ValueError(f"{path} is longer than {MAX_BYTES} bytes")
    prices = Rates()
    problems = []
    for number, line in enumerate(text.splitlines(), 1):
        content = line.partition("#")[0].strip()
        if not content or content.replace(" ", "").lower() == _HEADER:
            continue
        country, comma, price = (part.strip() for part in content.partition(","))
        if not (comma and _COUNTRY.fullmatch(country) and _PRICE.fullmatch(price)):
            problems.append(f"line {number} must be like US,0.0079 or *,0.15")
        elif country != "*" and (problem := country_problem(country)):
            problems.append(f"line {number}: {problem}")
        elif country in prices:
            problems.append(f"line {number} repeats {country}; remove one of its lines")
        else:
            prices[country] = int(Decimal(price) * MICRO)
    if not problems and "*" not in prices:
        problems.append("needs a line for *, the price of all other countries")
    if problems:
        raise ValueError(*problems)
    return prices
