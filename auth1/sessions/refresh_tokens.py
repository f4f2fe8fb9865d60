"""Refresh tokens: `auth1_rt_<session>_<number>_<MAC>`, derived and never stored.

The MAC covers tenant, session and number, under a key that only the server has. So the database contains no usable
token, an invented token is rejected without a query, and a used token is recognised however old it is. The session's
row contains the number of the live token.
"""

import re
from typing import NamedTuple

from auth1.core import crypto
from auth1.core.crypto import Keyring

GRACE_S = 30  # for which an exchanged token still gets the live one: parallel tabs, lost responses
PREFIX = "auth1_rt_"
_FORM = re.compile(r"auth1_rt_([0-9a-z]{26})_(0|[1-9][0-9]{0,8})_([A-Za-z0-9_-]{43})", re.ASCII)


class Refresh(NamedTuple):
    """A genuine refresh token: its session, and its number in the session."""

    session_id: str
    number: int


def make(keyring: Keyring, tenant_id: str, session_id: str, number: int) -> str:
    """Derive a session's token with a number."""
    mac = _macs(keyring, tenant_id, session_id, number)[0]
    return f"{PREFIX}{session_id.partition('_')[2]}_{number}_{mac}"


def read(keyring: Keyring, tenant_id: str, text: str) -> Refresh | None:
    """Parse a token; None unless it is genuine and belongs to the tenant."""
    found = _FORM.fullmatch(text)
    if found is None:
        return None
    refresh = Refresh(f"ses_{found[1]}", int(found[2]))
    right = _macs(keyring, tenant_id, *refresh)
    return refresh if any(crypto.equal(mac, found[3]) for mac in right) else None


def _macs(keyring: Keyring, tenant_id: str, session_id: str, number: int) -> list[str]:
    macs = keyring.macs("refresh-token", f"{tenant_id}\0{session_id}\0{number}".encode())
    return [crypto.base64url(mac) for mac in macs]
