"""The sandbox of test keys: magic numbers choose outcomes, nothing is sent, and no budget is used.

    +15005550000 delivered           +15005550004 the first provider fails, the second delivers
    +15005550001 invalid (422)       +15005550005 sent, then reported as undelivered
    +15005550002 fails (502)         +15005550007 opted out (422)
    +15005550003 blocked: VoIP (403) +15005550009 rate limited (429)

All other numbers and all emails are delivered. Each digit of the code is 0. `messaging/providers/sandbox.py` contains
the outcomes of providers.
"""

from auth1.errors import InvalidPhone, RateLimited, RequestBlocked
from auth1.identifiers import Identifier
from auth1.tenants.settings import Tenant

_INVALID = "+15005550001"
_VOIP = "+15005550003"
_LIMITED = "+15005550009"
_RETRY_AFTER_S = 60


def code(tenant: Tenant) -> str:
    """Return the code of every sandbox challenge."""
    return "0" * tenant.settings.otp_length


def raise_for_magic_number(identifier: Identifier) -> None:
    """Raise the error of a magic number: InvalidPhone, RequestBlocked or RateLimited."""
    if identifier.value == _INVALID:
        raise InvalidPhone
    if identifier.value == _VOIP:
        raise RequestBlocked
    if identifier.value == _LIMITED:
        raise RateLimited(retry_after=_RETRY_AFTER_S)
