"""The exposures that PostgreSQL keeps: states that changed are written behind, and read where Redis has lost them."""

import time
from collections import OrderedDict
from typing import NamedTuple

from auth1 import metrics
from auth1.core.postgres import Postgres, Queries
from auth1.errors import Unavailable
from auth1.fraud.constants import BLOCK_DECAY_S, CROSS_TENANT_S, HISTORY_DAYS
from auth1.fraud.exposures.messages import read_state
from auth1.fraud.rules import country_ratio
from auth1.fraud.scopes import State

MAX_STATES = 10_000  # of all tenants, in this process
_MAX_ROWS = 1000  # of one statement
_MAX_BLOCKS = 1000  # of a tenant, restored
_MAX_LOADED_BLOCKS = 20_000
_SEVERAL = ""  # tenants

_QUERIES = Queries("exposures")


class _Rows(NamedTuple):
    tenant_ids: list[str]
    scopes: list[str]
    keys: list[str]
    exposures: list[float]
    verified: list[float]
    seconds: list[float]
    loaded_at: list[float]


class _Nothing(NamedTuple):
    pass


class _Find(NamedTuple):
    tenant_id: str
    blocks_since: float
    max_blocks: int


class SavedState(NamedTuple):
    """A state that PostgreSQL has. `key`: the country, or the digits that the numbers of a block share."""

    scope: str
    key: str
    exposure: float
    verified: float
    second: float

    @property
    def state(self) -> State:
        return State(self.exposure, self.verified, self.second)


class _FindLoaded(NamedTuple):
    since: float
    max_rows: int


class _LoadedBlock(NamedTuple):
    tenant_id: str
    scope: str
    key: str


class _FindDays(NamedTuple):
    tenant_id: str
    days: int


class _CountryDay(NamedTuple):
    country: str
    messages: int
    verified: int


_SAVE = _QUERIES.statement("save_exposures", _Rows, _Nothing)
_FIND = _QUERIES.statement("find_exposures", _Find, SavedState)
_FIND_LOADED = _QUERIES.statement("find_loaded_blocks", _FindLoaded, _LoadedBlock)
_FIND_DAYS = _QUERIES.statement("find_country_days", _FindDays, _CountryDay)

Place = tuple[str, str, str]  # tenant, scope, key


class SavedStates:
    """The latest states that this worker saw, and those of them that PostgreSQL has not got yet."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._latest: OrderedDict[Place, bytes] = OrderedDict()
        self._changed: dict[Place, float] = {}  # when a block was loaded; 0: it was not

    def note(self, place: Place, stored: bytes, loaded_at: float = 0.0) -> None:
        """Note a state that changed. `loaded_at`: when the load of a block was above 1, in seconds."""
        self._latest[place] = stored
        self._latest.move_to_end(place)
        self._changed[place] = max(loaded_at, self._changed.get(place, 0.0))
        if len(self._latest) > MAX_STATES:
            self._changed.pop(self._latest.popitem(last=False)[0], None)

    def latest(self, place: Place) -> bytes | None:
        """Return the latest state that this worker saw."""
        return self._latest.get(place)

    async def save(self) -> None:
        """Save the states that changed since the last call; after an error, the next call does. Raises Unavailable."""
        changed, self._changed = self._changed, {}
        places = sorted(changed)
        for start in range(0, len(places), _MAX_ROWS):
            batch = [place for place in places[start : start + _MAX_ROWS] if place in self._latest]
            states = [read_state(self._latest[place]) for place in batch]
            rows = _Rows(
                [place[0] for place in batch],
                [place[1] for place in batch],
                [place[2] for place in batch],
                [state.exposure for state in states],
                [state.verified for state in states],
                [state.second for state in states],
                [changed[place] for place in batch],
            )
            try:
                await self._postgres.rows(_SAVE, rows)
            except Unavailable:
                for place in places[start:]:
                    if place in self._latest:
                        self._changed[place] = max(changed[place], self._changed.get(place, 0.0))
                raise
            metrics.EXPOSURES_SAVED.inc(len(batch))

    async def find(self, tenant_id: str, now: float) -> list[SavedState]:
        """Return the saved states of a tenant: wide ones, and its newest blocks. Raises Unavailable."""
        await self.save()
        blocks_since = (now or time.time()) - 2 * BLOCK_DECAY_S
        return await self._postgres.rows(_FIND, _Find(tenant_id, blocks_since, _MAX_BLOCKS))


class LoadedBlocks:
    """A copy of the blocks of numbers that are loaded at any tenant, refreshed in the background."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._tenants: dict[tuple[str, str], str] = {}

    async def refresh(self, now: float = 0.0) -> None:
        """Read the blocks. Raises Unavailable."""
        since = (now or time.time()) - CROSS_TENANT_S
        tenants: dict[tuple[str, str], str] = {}
        for block in await self._postgres.rows(_FIND_LOADED, _FindLoaded(since, _MAX_LOADED_BLOCKS)):
            place = block.scope, block.key
            tenants[place] = block.tenant_id if tenants.get(place, block.tenant_id) == block.tenant_id else _SEVERAL
        self._tenants = tenants

    def elsewhere(self, tenant_id: str, blocks: tuple[str, str]) -> tuple[str, ...]:
        """Return the scopes of those blocks of a number that are loaded at another tenant."""
        if not self._tenants:
            return ()
        places = (("block_of_1000", blocks[0]), ("block_of_10000", blocks[1]))
        return tuple(place[0] for place in places if self._tenants.get(place, tenant_id) != tenant_id)


async def find_ratios(postgres: Postgres, tenant_id: str) -> dict[str, float]:
    """Return the ratios of the countries that have a history at a tenant. Raises Unavailable."""
    days: dict[str, list[tuple[int, int]]] = {}
    for row in await postgres.rows(_FIND_DAYS, _FindDays(tenant_id, HISTORY_DAYS + 1)):
        days.setdefault(row.country, []).append((row.messages, row.verified))
    ratios = {country: country_ratio(of_country) for country, of_country in days.items()}
    return {country: ratio for country, ratio in ratios.items() if ratio is not None}
