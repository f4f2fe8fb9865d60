"""The sandbox of test keys: outcomes are chosen by magic numbers, nothing is sent, no budget is used.

    +15005550000 delivered           +15005550003 blocked as VoIP (403)
    +15005550001 invalid (422)       +15005550004 the first provider fails, the second delivers
    +15005550002 fails (502)         +15005550005 sent, and then reported as undelivered
                                     +15005550009 rate limited (429)

Every other number is delivered, and every address. The code is 0, as often as codes are long. Providers' outcomes are
in `messaging/providers/sandbox.py`.
"""

from auth1.errors import InvalidPhone, RateLimited, RequestBlocked
from auth1.identifiers import Identifier
from auth1.tenants.settings import Tenant

_INVALID = "+15005550001"
_VOIP = "+15005550003"
_LIMITED = "+15005550009"
_LIMITED_FOR_S = 60


def code(tenant: Tenant) -> str:
    """The code of every challenge of the sandbox."""
    return "0" * tenant.settings.otp_length


def refuse_magic(identifier: Identifier) -> None:
    """Raise what a magic number stands for: InvalidPhone, RequestBlocked or RateLimited."""
    if identifier.value == _INVALID:
        raise InvalidPhone
    if identifier.value == _VOIP:
        raise RequestBlocked
    if identifier.value == _LIMITED:
        raise RateLimited(retry_after=_LIMITED_FOR_S)
