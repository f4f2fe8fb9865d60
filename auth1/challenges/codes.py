"""Create codes, encrypt them to send them again, and authenticate them to compare them.

PostgreSQL stores only an HMAC and an AES-GCM box, under keys that it never sees, bound to tenant, identifier and
purpose. So a stolen database reveals no code, and a code cannot be moved to another row.
"""

import secrets
from typing import NamedTuple

from auth1.core.crypto import Keyring

LOGIN = "login"  # the purpose of a code that opens a session
ADDING = "identifier"  # the purpose of a code that links an identifier to a user


def adding(session_id: str) -> str:
    """Return the purpose of a code that adds an identifier to a user. The code is valid only in this session."""
    return f"{ADDING}:{session_id}"


class SealedCode(NamedTuple):
    """A code as it is stored."""

    mac: bytes
    box: bytes


def new_code(length: int) -> str:
    """Draw a code. Every value is equally likely; leading zeros are kept."""
    return f"{secrets.randbelow(10**length):0{length}d}"


def seal(keyring: Keyring, tenant_id: str, identifier: str, code: str, purpose: str = LOGIN) -> SealedCode:
    """Authenticate and encrypt a code for storage."""
    context = _context(tenant_id, identifier, purpose)
    return SealedCode(
        mac=keyring.macs("code-mac", context + code.encode())[0],
        box=keyring.seal("code-box", code.encode(), context),
    )


def macs(keyring: Keyring, tenant_id: str, identifier: str, code: str, purpose: str = LOGIN) -> list[bytes]:
    """Return the HMACs of a submitted code, one per accepted secret; the right code matches one."""
    return keyring.macs("code-mac", _context(tenant_id, identifier, purpose) + code.encode())


def box_prefixes(keyring: Keyring) -> list[bytes]:
    """Return the prefixes of boxes that can be decrypted. Other boxes need a removed secret."""
    return keyring.seals("code-box")


def unseal(keyring: Keyring, tenant_id: str, identifier: str, box: bytes, purpose: str = LOGIN) -> str | None:
    """Decrypt a code to send it again; None when its secret is no longer accepted."""
    code = keyring.open("code-box", box, _context(tenant_id, identifier, purpose))
    return code.decode() if code is not None else None


def _context(tenant_id: str, identifier: str, purpose: str) -> bytes:
    return f"{tenant_id}\0{identifier}\0{purpose}\0".encode()
