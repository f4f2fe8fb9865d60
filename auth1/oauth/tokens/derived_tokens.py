"""Authorization codes, refresh tokens and request URIs: `auth1_oc_<id>_<number>_<MAC>`, derived and never stored.

They are built like the refresh tokens of sessions (`auth1/sessions/refresh_tokens.py`): the database contains no usable
one, an invented one is rejected without a query, and a used one is recognised however old it is.
"""

import re
from typing import NamedTuple

from auth1.core import crypto
from auth1.core.crypto import Keyring

_FORM = re.compile(r"([0-9a-z]{26})_(0|[1-9][0-9]{0,8})_([A-Za-z0-9_-]{43})", re.ASCII)


class Derived(NamedTuple):
    """A genuine token: the id of its row, and its number there."""

    row_id: str
    number: int


class DerivedToken(NamedTuple):
    """A kind of token: the start of its text, the purpose of its key, and the prefix of the id of its row."""

    start: str
    purpose: str
    id_prefix: str

    def make(self, keyring: Keyring, tenant_id: str, row_id: str, number: int) -> str:
        """Derive the token of a row with a number."""
        mac = self._macs(keyring, tenant_id, row_id, number)[0]
        return f"{self.start}{row_id.partition('_')[2]}_{number}_{mac}"

    def read(self, keyring: Keyring, tenant_id: str, text: str) -> Derived | None:
        """Parse a token; None unless it is genuine and belongs to the tenant."""
        found = _FORM.fullmatch(text, len(self.start)) if text.startswith(self.start) else None
        if found is None:
            return None
        derived = Derived(f"{self.id_prefix}_{found[1]}", int(found[2]))
        macs = self._macs(keyring, tenant_id, *derived)
        return derived if any(crypto.equal(mac, found[3]) for mac in macs) else None

    def _macs(self, keyring: Keyring, tenant_id: str, row_id: str, number: int) -> list[str]:
        macs = keyring.macs(self.purpose, f"{tenant_id}\0{row_id}\0{number}".encode())
        return [crypto.base64url(mac) for mac in macs]


CODE = DerivedToken("auth1_oc_", "authorization-code", "li")
PUSHED_REQUEST = DerivedToken("urn:ietf:params:oauth:request_uri:", "pushed-request", "li")
REFRESH_TOKEN = DerivedToken("auth1_ort_", "oauth-refresh-token", "gr")
