"""The signing keys of each tenant, cached in this process.

An entry lives a minute. A new key is published a day before it signs, and an old one stays published for a day, so no
token meets a cache without its key. The first key of a tenant signs at once: a token with an unknown key reads the keys
again, at most every five seconds per tenant.
"""

import asyncio
import time
from collections import OrderedDict
from typing import Any, NamedTuple

import msgspec

from auth1.core.crypto import Keyring
from auth1.core.postgres import Postgres
from auth1.core.telemetry.log import Log
from auth1.endpoint_secrets import decrypt_secret
from auth1.errors import Unavailable
from auth1.signing import store
from auth1.signing.keys import Alg, create_key, read_private, read_public

LIFE_S = 60.0
REREAD_S = 5.0
MAX_TENANTS = 256
PUBLISHED_S = 24 * 3600  # of a key that no longer signs
_decode = msgspec.json.Decoder(dict[str, str]).decode


class PublicKey(NamedTuple):
    """A published key."""

    alg: Alg
    key: Any
    jwk: dict[str, str]


class ActiveKey(NamedTuple):
    """A key that signs."""

    kid: str
    alg: Alg
    key: Any


class _Keys(NamedTuple):
    """The keys of a tenant. `lost` are active keys whose secret no accepted JWT_SECRET decrypts."""

    read_at: float
    public: dict[str, PublicKey]
    active: dict[Alg, ActiveKey]
    lost: dict[Alg, str]


class SigningKeys:
    """Finds the keys of tenants, and creates the first ones."""

    def __init__(self, postgres: Postgres, keyring: Keyring, log: Log) -> None:
        self._postgres = postgres
        self._keyring = keyring
        self._log = log
        self._entries: OrderedDict[str, _Keys] = OrderedDict()

    async def active(self, tenant_id: str, alg: Alg) -> ActiveKey:
        """Return the key that signs for a tenant or sandbox; create it if there is none. Raises Unavailable."""
        keys = await self._find(tenant_id, LIFE_S)
        if alg not in keys.active:
            await self.ensure(tenant_id, alg)
            keys = await self._find(tenant_id, 0)
        try:
            return keys.active[alg]
        except KeyError:
            raise Unavailable(retry_after=1) from None  # the tenant was deleted meanwhile

    async def ensure(self, tenant_id: str, alg: Alg) -> None:
        """Create the key that signs, unless there is one. A key that cannot be decrypted is replaced."""
        keys = await self._find(tenant_id, 0)
        if alg in keys.active:
            return
        if (kid := keys.lost.get(alg)) is not None:
            self._log.warn("JWT_SECRET was replaced without JWT_SECRET_PREVIOUS; a new key signs", tenant_id=tenant_id)
            await store.retire_key(self._postgres, tenant_id, kid, PUBLISHED_S)
        new = await asyncio.to_thread(create_key, alg)
        await store.insert_key(self._postgres, self._keyring, tenant_id, alg, new, "active")
        self._entries.pop(tenant_id, None)

    async def published(self, tenant_id: str) -> list[dict[str, str]]:
        """Return the public keys of a tenant or sandbox as JWKs, newest first."""
        return [key.jwk for key in (await self._find(tenant_id, REREAD_S)).public.values()]

    async def public(self, tenant_id: str, kid: str) -> PublicKey | None:
        """Return a published key of a tenant or sandbox; None if it has no such key."""
        keys = await self._find(tenant_id, LIFE_S)
        if kid not in keys.public:
            keys = await self._find(tenant_id, REREAD_S)
        return keys.public.get(kid)

    async def _find(self, tenant_id: str, max_age_s: float) -> _Keys:
        """Return the keys as they were read at most `max_age_s` ago."""
        keys = self._entries.get(tenant_id)
        if keys is not None and time.monotonic() < keys.read_at + max_age_s:
            return keys
        began = time.monotonic()
        keys = self._read(tenant_id, began, await store.list_keys(self._postgres, tenant_id))
        self._entries.pop(tenant_id, None)
        self._entries[tenant_id] = keys
        while len(self._entries) > MAX_TENANTS:
            self._entries.popitem(last=False)
        return keys

    def _read(self, tenant_id: str, read_at: float, rows: list[store.StoredKey]) -> _Keys:
        keys = _Keys(read_at, {}, {}, {})
        for row in rows:
            jwk = _decode(row.public)
            keys.public[row.kid] = PublicKey(row.alg, read_public(row.alg, jwk), jwk)
            if row.state == "active":
                private = decrypt_secret(self._keyring, tenant_id, row.kid, row.box)
                if private is None:
                    keys.lost[row.alg] = row.kid
                else:
                    keys.active[row.alg] = ActiveKey(row.kid, row.alg, read_private(private))
        return keys
