"""Refresh tokens: `auth1_rt_<session>_<number>_<MAC>`, derived and never kept.

The MAC is over tenant, session and number, under a key that only the server has. So the database holds nothing that
could be used, a made-up token is refused without asking it, and one that was used already is known as such however old
it is. The number that is live stands in the session's row.
"""

import base64
import re
from typing import NamedTuple

from auth1.core import crypto
from auth1.core.crypto import Keyring

GRACE_S = 30  # the token before the live one still gets the live one: two tabs, a lost answer, a crash before it
PREFIX = "auth1_rt_"
_FORM = re.compile(r"auth1_rt_([0-9a-z]{26})_(0|[1-9][0-9]{0,8})_([A-Za-z0-9_-]{43})", re.ASCII)


class Refresh(NamedTuple):
    """A refresh token that we made: of which session, and the how-many-eth."""

    session_id: str
    number: int


def make(keyring: Keyring, tenant_id: str, session_id: str, number: int) -> str:
    """Write a session's token of a number."""
    mac = _macs(keyring, tenant_id, session_id, number)[0]
    return f"{PREFIX}{session_id.partition('_')[2]}_{number}_{mac}"


def read(keyring: Keyring, tenant_id: str, text: str) -> Refresh | None:
    """Read a token; None where it is not one that we made for this tenant."""
    found = _FORM.fullmatch(text)
    if found is None:
        return None
    refresh = Refresh(f"ses_{found[1]}", int(found[2]))
    right = _macs(keyring, tenant_id, *refresh)
    return refresh if any(crypto.equal(mac, found[3]) for mac in right) else None


def _macs(keyring: Keyring, tenant_id: str, session_id: str, number: int) -> list[str]:
    macs = keyring.macs("refresh-token", f"{tenant_id}\0{session_id}\0{number}".encode())
    return [base64.urlsafe_b64encode(mac).rstrip(b"=").decode() for mac in macs]
