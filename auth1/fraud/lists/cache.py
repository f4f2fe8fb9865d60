"""The allow and block lists of tenants in this process.

The version of the lists comes with the tenant of each request (`authn`). A list that is older is loaded again, so a
change applies to every worker as soon as the tenant is invalidated. A tenant without entries needs no statement.
"""

import asyncio
from collections import OrderedDict

from auth1.core.postgres import Postgres
from auth1.fraud.lists import store
from auth1.fraud.lists.entries import Lists, TenantLists
from auth1.tenants.settings import OPERATOR, Tenant

MAX_BYTES = 8 * 1024 * 1024
OWNER_BYTES = 1024
ENTRY_BYTES = 512
PAGE = 1000
_EMPTY = Lists()
_NONE = TenantLists(_EMPTY, _EMPTY)


class ListCache:
    """Loads lists, and keeps those that were used last."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._lists: OrderedDict[str, tuple[int, Lists]] = OrderedDict()
        self._loading: dict[tuple[str, int], asyncio.Task[Lists]] = {}
        self.size = 0  # bytes, estimated

    async def get(self, tenant: Tenant) -> TenantLists:
        """Return the lists that apply to a tenant. Raises Unavailable."""
        own, operators = tenant.list_versions
        if not own and not operators:
            return _NONE
        return TenantLists(await self._get(tenant.id.removesuffix(":test"), own), await self._get(OPERATOR, operators))

    async def _get(self, owner: str, version: int) -> Lists:
        if not version:
            return _EMPTY
        cached = self._lists.get(owner)
        if cached is not None and cached[0] >= version:
            self._lists.move_to_end(owner)
            return cached[1]
        task = self._loading.get((owner, version))
        if task is None:
            task = self._loading[owner, version] = asyncio.create_task(self._load(owner))
            task.add_done_callback(lambda _: self._loading.pop((owner, version)))
        return await asyncio.shield(task)  # a caller that is cancelled must not cancel the others

    async def _load(self, owner: str) -> Lists:
        """Load the lists of an owner in pages. Changes during the load have a later version than the first page's."""
        lists, version, after = Lists(), 0, ""
        while True:
            page = await store.load_page(self._postgres, owner, after, PAGE)
            version = version or page.version
            for entry in page.entries:
                lists.add(entry)
            if page.next_after is None:
                break
            after = page.next_after
        self._store(owner, version, lists)
        return lists

    def _store(self, owner: str, version: int, lists: Lists) -> None:
        """Keep lists unless newer ones are kept; evict the lists that were not used for longest."""
        previous = self._lists.pop(owner, None)
        if previous is not None:
            self.size -= _bytes(previous[1])
            if previous[0] > version:
                version, lists = previous
        self._lists[owner] = (version, lists)
        self.size += _bytes(lists)
        while self.size > MAX_BYTES:
            _, (_, evicted) = self._lists.popitem(last=False)
            self.size -= _bytes(evicted)


def _bytes(lists: Lists) -> int:
    return OWNER_BYTES + ENTRY_BYTES * lists.size
