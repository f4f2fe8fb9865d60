"""Datasets that the command line loads: line types by prefix, and networks by type.

A dataset is compiled bytes in parts of 1 MiB. It is replaced as a whole, in one transaction. Each worker compares the
versions every half second, and reads a new one part by part; until it is complete, the previous one answers.
"""

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from auth1.core.postgres import NO_PARAMS, NoParams, Postgres, Queries, Transaction
from auth1.core.telemetry.log import Log
from auth1.fraud.datasets.networks import NETWORK_TYPES, AddressRanges, Networks, NetworkType
from auth1.fraud.line_types.prefixes import Prefixes

INTERVAL_S = 0.5
PART_BYTES = 1024 * 1024
PREFIXES = "prefixes"

_NETWORKS: dict[str, NetworkType] = {f"networks/{network_type}": network_type for network_type in NETWORK_TYPES}
_QUERIES = Queries("datasets")


class Dataset(NamedTuple):
    """A loaded dataset. `entries` counts the lines of its file."""

    name: str
    version: int
    entries: int
    bytes: int
    loaded_at: datetime


class _Name(NamedTuple):
    name: str


class _Replace(NamedTuple):
    name: str
    entries: int
    bytes: int


class _Version(NamedTuple):
    version: int


class _OldParts(NamedTuple):
    name: str
    version: int


class _Part(NamedTuple):
    name: str
    version: int
    part: int


class _NewPart(NamedTuple):
    name: str
    version: int
    part: int
    data: bytes


class _Data(NamedTuple):
    data: bytes


_LIST = _QUERIES.statement("list_datasets", NoParams, Dataset)
_REPLACE = _QUERIES.statement("replace_dataset", _Replace, _Version)
_INSERT_PART = _QUERIES.statement("insert_part", _NewPart, NoParams)
_DELETE_OLD_PARTS = _QUERIES.statement("delete_old_parts", _OldParts, NoParams)
_READ_PART = _QUERIES.statement("read_part", _Part, _Data)
_REMOVE = _QUERIES.statement("remove_dataset", _Name, _Name)


async def replace_dataset(postgres: Postgres, name: str, entries: int, data: bytes) -> None:
    """Replace a dataset as a whole. Raises Unavailable."""

    async def replace(transaction: Transaction) -> None:
        row = await transaction.row(_REPLACE, _Replace(name, entries, len(data)))
        assert row is not None, "the statement returns one row"
        for part, start in enumerate(range(0, len(data), PART_BYTES)):
            new = _NewPart(name, row.version, part, data[start : start + PART_BYTES])
            await transaction.row(_INSERT_PART, new)
        await transaction.row(_DELETE_OLD_PARTS, _OldParts(name, row.version))

    await postgres.in_transaction(replace)


async def remove_dataset(postgres: Postgres, name: str) -> bool:
    """Remove a dataset. Returns whether it was there. Raises Unavailable."""
    return await postgres.row(_REMOVE, _Name(name)) is not None


async def list_datasets(postgres: Postgres) -> list[Dataset]:
    """Return the loaded datasets by name. Raises Unavailable."""
    return await postgres.rows(_LIST, NO_PARAMS)


def networks_name(network_type: NetworkType) -> str:
    """Return the name of the dataset of networks of a type."""
    return f"networks/{network_type}"


class DatasetReader:
    """Keeps the datasets of a worker up to date. `on_prefixes` receives new prefixes."""

    def __init__(
        self, postgres: Postgres, log: Log, on_prefixes: Callable[[Prefixes | None], None], networks: Networks
    ) -> None:
        self._postgres = postgres
        self._log = log
        self._on_prefixes = on_prefixes
        self._networks = networks
        self._versions: dict[str, int] = {}

    async def refresh(self) -> None:
        """Read changed datasets. Raises Unavailable, and keeps the previous ones."""
        found = {dataset.name: dataset for dataset in await list_datasets(self._postgres)}
        for name in self._versions.keys() - found.keys():
            self._use(name, None)
            del self._versions[name]
        for name, dataset in found.items():
            if self._versions.get(name) != dataset.version:
                await self._read(dataset)

    async def _read(self, dataset: Dataset) -> None:
        """Read a version. One that is replaced meanwhile is left to the next round."""
        data = bytearray()
        while len(data) < dataset.bytes:
            part = _Part(dataset.name, dataset.version, len(data) // PART_BYTES)
            row = await self._postgres.row(_READ_PART, part)
            if row is None:
                return
            data += row.data
        self._versions[dataset.name] = dataset.version
        try:
            self._use(dataset.name, bytes(data))
        except ValueError as error:
            self._log.error("dataset cannot be read; the previous one stays", dataset=dataset.name, error=error)
        else:
            self._log.info("dataset loaded", dataset=dataset.name, entries=dataset.entries)

    def _use(self, name: str, data: bytes | None) -> None:
        """Use a dataset; None removes it. Names of other releases are ignored. Raises ValueError."""
        if name == PREFIXES:
            self._on_prefixes(Prefixes(data) if data is not None else None)
        elif name in _NETWORKS:
            self._networks.replace(_NETWORKS[name], AddressRanges(data) if data is not None else None)
