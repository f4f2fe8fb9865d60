"""Datasets in PostgreSQL: replaced as a whole, read by every worker within a second."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from unittest.mock import AsyncMock

import asyncpg
import pytest

from auth1.core.postgres import Postgres
from auth1.core.telemetry.log import Log
from auth1.dev.postgres import PostgresServer
from auth1.fraud.datasets import store as datasets
from auth1.fraud.datasets.files import BadLine, read_lines
from auth1.fraud.datasets.networks import Networks, compile_networks
from auth1.fraud.datasets.store import DatasetReader, list_datasets, networks_name, remove_dataset, replace_dataset
from auth1.fraud.line_types.prefixes import Prefixes, compile_prefixes
from auth1.fraud.policy import FraudPolicy
from auth1.identifiers import parse_phone
from auth1.services import Services
from tests.conftest import Started
from tests.fraud.line_types.test_line_type_finder import known
from tests.support.api_client import ApiClient
from tests.support.postgres_files import new_database

PHONE = "+447912345678"


@pytest.fixture(scope="module")
async def workers(start_app: Started, postgres_server: PostgresServer) -> list[Services]:
    """Return two workers on a database without other datasets."""
    url = await new_database(postgres_server, "auth1_datasets")
    apps: list[ApiClient] = [await start_app(DATABASE_URL=url, background=True) for _ in range(2)]
    return [app.services for app in apps]


@pytest.fixture
async def postgres(workers: list[Services]) -> AsyncIterator[Postgres]:
    yield workers[0].postgres
    for dataset in await list_datasets(workers[0].postgres):
        await remove_dataset(workers[0].postgres, dataset.name)


class Worker:
    """A reader without a process: what it has read."""

    def __init__(self, postgres: Postgres) -> None:
        self.prefixes = Prefixes()
        self.networks = Networks()
        self.reader = DatasetReader(postgres, Log("error"), self.use, self.networks)

    def use(self, prefixes: Prefixes | None) -> None:
        self.prefixes = prefixes or Prefixes()


async def load_prefixes(postgres: Postgres, *lines: str) -> None:
    await replace_dataset(postgres, datasets.PREFIXES, *compile_prefixes(lines))


async def seconds_until_known(workers: list[Services], source: str, line_type: str) -> float:
    """Wait until every worker gives a number this line type; return the time."""
    started = time.monotonic()
    wanted = {(source, line_type)}
    while True:
        results = [known(worker.fraud_sources.line_types, PHONE) for worker in workers]
        if {(result.source, result.type) for result in results if result is not None} == wanted:
            return time.monotonic() - started
        assert time.monotonic() - started < 60
        await asyncio.sleep(0.01)


async def test_every_worker_has_new_prefixes_within_a_second(workers: list[Services], postgres: Postgres) -> None:
    times = []
    for line_type in ("pager", "landline", "voicemail"):
        await load_prefixes(postgres, f"44,{line_type}")
        times.append(await seconds_until_known(workers, "prefixes", line_type))
    await remove_dataset(postgres, datasets.PREFIXES)
    times.append(await seconds_until_known(workers, "phonenumbers", "mobile"))

    assert sorted(times)[1] < 1  # the machine may be busy once or twice


async def test_every_worker_has_new_networks(workers: list[Services], postgres: Postgres) -> None:
    await replace_dataset(postgres, networks_name("tor"), *compile_networks(["203.0.113.0/24"]))
    await replace_dataset(postgres, networks_name("hosting"), *compile_networks(["2001:db8::/32"]))
    for worker in workers:
        await worker.fraud_sources.refresh()

    for worker in workers:
        assert worker.fraud_sources.networks.types_of("203.0.113.7") == ("tor",)
        assert worker.fraud_sources.networks.types_of("2001:db8::1") == ("hosting",)


async def test_dataset_of_many_parts_is_read_as_written(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "PART_BYTES", 1000)
    worker = Worker(postgres)
    await load_prefixes(postgres, *(f"{number},mobile" for number in range(10_000, 11_000, 2)))

    await worker.reader.refresh()

    assert len(worker.prefixes) == 1000
    assert worker.prefixes.find("+10998") == "mobile"
    assert worker.prefixes.find("+10999") is None


async def test_unchanged_datasets_cost_one_statement(postgres: Postgres) -> None:
    worker = Worker(postgres)
    await load_prefixes(postgres, "44,mobile")
    await worker.reader.refresh()
    before = postgres.round_trips

    await worker.reader.refresh()

    assert postgres.round_trips - before <= 3  # those of the workers' own rounds included


async def test_version_that_is_replaced_while_it_is_read_is_left_out(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets, "PART_BYTES", 8)
    worker = Worker(postgres)
    await load_prefixes(postgres, "44,mobile")
    [old] = await list_datasets(postgres)
    await load_prefixes(postgres, "44,pager")

    with monkeypatch.context() as earlier:
        earlier.setattr(datasets, "list_datasets", AsyncMock(return_value=[old]))
        await worker.reader.refresh()
    assert worker.prefixes.find(PHONE) is None
    await worker.reader.refresh()

    assert worker.prefixes.find(PHONE) == "pager"


async def test_concurrent_loads_leave_one_complete_version(postgres: Postgres) -> None:
    files = [[f"{number},mobile" for number in range(1000, 1000 + count)] for count in (1, 5, 20, 50)]

    await asyncio.gather(*(load_prefixes(postgres, *lines) for lines in files for _ in range(3)))

    worker = Worker(postgres)
    await worker.reader.refresh()
    [dataset] = await list_datasets(postgres)
    assert dataset.entries in (1, 5, 20, 50)
    assert worker.prefixes.find(f"+{999 + dataset.entries}0") == "mobile"
    assert worker.prefixes.find(f"+{1000 + dataset.entries}0") is None


async def test_unreadable_dataset_keeps_the_previous_one(postgres: Postgres) -> None:
    worker = Worker(postgres)
    await load_prefixes(postgres, "44,mobile")
    await worker.reader.refresh()

    await replace_dataset(postgres, datasets.PREFIXES, 1, b"from another release")
    await worker.reader.refresh()
    await worker.reader.refresh()

    assert worker.prefixes.find(PHONE) == "mobile"


async def test_old_parts_are_deleted(workers: list[Services], postgres: Postgres) -> None:
    for line_type in ("mobile", "pager", "landline"):
        await load_prefixes(postgres, f"44,{line_type}")

    connection = await asyncpg.connect(workers[0].settings.database_url)
    assert await connection.fetchval("select count(*) from dataset_parts where name = 'prefixes'") == 1
    await connection.close()


async def test_numbers_are_found_while_prefixes_are_replaced(workers: list[Services], postgres: Postgres) -> None:
    """Every answer is that of the old file or of the new one, never of neither."""
    await load_prefixes(postgres, "44,pager", "4479,landline")
    for worker in workers:
        await worker.fraud_sources.refresh()
    found: set[str] = set()

    async def ask() -> None:
        for _ in range(2000):
            for worker in workers:
                result = worker.fraud_sources.line_types.get_known(
                    parse_phone(PHONE), FraudPolicy(), voip_blocking=True
                )
                assert result is not None
                found.add(result.type)
            await asyncio.sleep(0)

    async def load() -> None:
        for line_type in ("voicemail", "landline", "voicemail"):
            await load_prefixes(postgres, "44,pager", f"4479,{line_type}")
            for worker in workers:
                await worker.fraud_sources.refresh()

    await asyncio.gather(ask(), load())

    assert found == {"landline", "voicemail"}


def test_lines_are_read_with_a_bound_on_their_length(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"\xef\xbb\xbfone\r\n" + b"x" * 199 + b"\n" + b"x" * 201)

    with path.open("rb") as file:
        lines = read_lines(file)
        assert next(lines) == "one\r\n"
        assert len(next(lines)) == 200
        with pytest.raises(BadLine, match="line 3: is longer than 200 bytes"):
            next(lines)
