"""Line types that numbering plans reveal: VoIP ranges, pagers, voicemail and the like.

phonenumbers knows them for many countries, but not for North America, where mobiles, landlines and VoIP share ranges:
distinguishing them needs a paid lookup.
"""

from phonenumbers import PhoneNumberType

_BLOCKED = {
    PhoneNumberType.VOIP: "voip",
    PhoneNumberType.PERSONAL_NUMBER: "personal_number",
    PhoneNumberType.PAGER: "pager",
    PhoneNumberType.UAN: "universal_access_number",
    PhoneNumberType.VOICEMAIL: "voicemail",
    PhoneNumberType.SHARED_COST: "shared_cost",
    PhoneNumberType.TOLL_FREE: "toll_free",
}


def blocked_line(line: int | None) -> str | None:
    """Return the name of a line type that `voip_blocking` rejects; None for others."""
    return _BLOCKED.get(line) if line is not None else None
