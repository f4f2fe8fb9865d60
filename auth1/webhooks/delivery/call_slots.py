"""Limit the calls that a worker makes at once, and the share of them that a tenant may use.

Each leased endpoint has one slot of its own, so that no other endpoint can delay it. Further slots are shared, and a
tenant gets a part of them: with at most ten endpoints it never uses more than half of all.
"""

from collections import Counter

MAX_CALLS = 50
MAX_ENDPOINTS = 25  # leased at once; each has a slot of its own
MAX_FAILING = 12  # of these, endpoints that keep failing
MAX_HEALTHY = 22  # of these, the others
MAX_SHARED = MAX_CALLS - MAX_ENDPOINTS
MAX_SHARED_OF_TENANT = MAX_CALLS // 2 - 10  # a tenant has at most ten endpoints


class CallSlots:
    """The shared slots of a worker."""

    def __init__(self) -> None:
        self._used: Counter[str] = Counter()

    def acquire(self, tenant_id: str, wanted: int) -> int:
        """Acquire up to `wanted` shared slots for a tenant; return how many."""
        free = min(MAX_SHARED - self._used.total(), MAX_SHARED_OF_TENANT - self._used[tenant_id])
        taken = max(0, min(wanted, free))
        self._used[tenant_id] += taken
        return taken

    def release(self, tenant_id: str, slots: int) -> None:
        """Release slots of a tenant."""
        self._used[tenant_id] -= slots
        if not self._used[tenant_id]:
            del self._used[tenant_id]
