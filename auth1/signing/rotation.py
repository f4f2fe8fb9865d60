"""Replace the signing keys of tenants after 90 days.

A day before, the next key is created and published. Once it signs, the previous one stays published for a day: longer
than any token that it signed is valid.
"""

import asyncio

from auth1.services import Services
from auth1.signing import store
from auth1.signing.key_cache import PUBLISHED_S
from auth1.signing.keys import create_key

INTERVAL_S = 3600.0
SIGNS_S = 90 * 24 * 3600
NEXT_S = 24 * 3600  # for which the next key is published before it signs


async def rotate_keys(app: Services) -> None:
    """Run one round. Any number of workers may run it."""
    for ageing in await store.list_ageing_keys(app.postgres, SIGNS_S - NEXT_S):
        new = await asyncio.to_thread(create_key, ageing.alg)
        await store.insert_key(app.postgres, app.keyring, ageing.tenant_id, ageing.alg, new, "next")
    for old in await store.list_old_keys(app.postgres, SIGNS_S, NEXT_S):
        await store.replace_key(app.postgres, old, PUBLISHED_S)
    await store.delete_retired_keys(app.postgres)
