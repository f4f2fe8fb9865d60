"""What a message says."""

import math


def sms_code(brand: str, code: str, expires_in_s: int) -> str:
    """The guide's text, with the minutes that remain."""
    minutes = max(1, math.ceil(expires_in_s / 60))
    unit = "minute" if minutes == 1 else "minutes"
    return f"Your {brand} verification code is: {code}. Expires in {minutes} {unit}."
