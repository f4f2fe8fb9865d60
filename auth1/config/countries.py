"""Country codes (ISO 3166-1 alpha-2), and what to write instead of common mistakes."""

from phonenumbers import SUPPORTED_REGIONS

# Codes that phone numbers can be of: ISO's, and the few more that have numbers (AC, TA, XK).
COUNTRIES = frozenset(SUPPORTED_REGIONS)
_MISTAKES = {"UK": "GB", "EN": "GB", "EL": "GR", "SP": "ES", "JA": "JP", "KO": "KR", "DA": "DK", "EU": "each country"}


def country_problem(code: str) -> str | None:
    """Return the problem of a code that is not a country with phone numbers, or None."""
    if code in COUNTRIES:
        return None
    upper = code.upper()
    if upper in COUNTRIES:
        return f"Country codes are upper case: write {upper} instead of {code}."
    if upper in _MISTAKES:
        return f"{code} is not a country code (ISO 3166-1 alpha-2); write {_MISTAKES[upper]}."
    return f"{code} is not a country code (ISO 3166-1 alpha-2), such as US or GB."
