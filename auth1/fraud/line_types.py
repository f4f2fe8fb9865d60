"""Line types that the numbering plans themselves tell: VoIP ranges, pagers, voicemail and the like.

phonenumbers knows them for many countries, but not for North America, where numbers of mobiles, landlines and VoIP
share their ranges: telling those apart needs a paid look-up.
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
    """Name the line type, if `voip_blocking` refuses it."""
    return _BLOCKED.get(line) if line is not None else None
