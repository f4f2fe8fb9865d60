"""Print what a login costs PostgreSQL, by the number of logins in one statement: CPU time, WAL and index entries.

    python -m bench.sql_cost [--sizes 1 8 32] [--logins 480] [--rounds 5] [--against DIR]

A login opens a challenge, records the delivery of its message and submits its code, with the functions of
`sql/functions` and a durable PostgreSQL. `--against` measures the migrations and functions of another checkout in
alternation. CPU times are the median and the minimum of the rounds, in microseconds of one backend per login. WAL is in
bytes per login. `pg_waldump` counts its records: entries in indexes, and updates that need no such entries (HOT).
"""

import argparse
import asyncio
import itertools
import re
import secrets
import subprocess
import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import asyncpg

from auth1.core.ids import new_id
from auth1.core.postgres.functions import FunctionSet
from auth1.core.postgres.migrations import Migration
from auth1.dev.postgres import PostgresServer, find_programs
from bench.accounts import ROOT

TENANT_ID = "tn_" + "0" * 26
STEPS = {"open_challenges": "open_challenge", "record_deliveries": "record_delivery", "submit_codes": "submit_code"}
WARM_UP = 100  # PostgreSQL makes a generic plan after five calls, and grows the tables from nothing
# No checkpoint: it would add images of whole pages at random.
SETTINGS = {"checkpoint_timeout": "1h", "max_wal_size": "16GB", "wal_keep_size": "8GB"}
RECORD_TYPE = re.compile(r"^(\w+/\S+)\s+(\d+) \(", re.MULTILINE)
EVENT = {"actor": "key", "request_id": "req", "network": "192.0.2.0/24"}
_numbers = itertools.count()


def new_login() -> dict[str, Any]:
    """Return the fields of the three requests of a login, by their names in SQL."""
    box = secrets.token_bytes(40)
    mac = secrets.token_bytes(32)
    opening = {
        "type": "phone",
        "purpose": "login",
        "challenge_id": new_id("ch"),
        "code_mac": mac,
        "code_box": box,
        "expires_in": 600,
        "attempts_max": 5,
        "box_prefixes": [box[:4]],
        "sends_per_hour": 5,
        "first_wait": 30,
        "country": "US",
        "segments": 1,
        "price_microdollars": 7900,
        "budget_event_id": new_id("evt"),
        "is_suppressed": False,
        "data": '{"channel": "sms", "country": "US", "metadata": {}}',
    }
    delivery = {
        "state": "sent",
        "provider_message_id": "SM" + secrets.token_hex(16),
        "refunds_send": False,
        "report_in": 600,
        "exclude_providers": [],
    }
    submission = {
        "code_macs": [mac],
        "new_user_id": new_id("usr"),
        "session_id": new_id("ses"),
        "session_expires_in": 7776000,
        "session_idle_after": 2592000,
        "user_agent": "curl",
        "user_event_id": new_id("evt"),
    }
    common = {
        "tenant_id": TENANT_ID,
        "identifier": f"+1555{next(_numbers):07}",
        "message_id": new_id("msg"),
        "provider": "twilio",
    }
    return common | opening | delivery | submission | EVENT


class Database:
    """The functions of a checkout in a database of their own."""

    def __init__(self, name: str, checkout: Path) -> None:
        self.name = name
        self._sql = checkout / "sql"
        files = (self._sql / "functions").glob("*.sql")
        self._functions = FunctionSet({file.name: file.read_text() for file in files})
        self._statements: dict[str, Any] = {}
        self._connection: Any

    async def create(self, server: PostgresServer) -> None:
        """Create the database with its tables and functions."""
        admin = await asyncpg.connect(server.url())
        await admin.execute(f"create database {self.name}")
        await admin.close()
        self._connection = await asyncpg.connect(server.url(self.name))
        for migration in sorted((self._sql / "migrations").glob("*.sql")):
            await Migration(migration.stem, migration.read_text(), "").run(self._connection)
        await self._functions.install(self._connection)
        await self._connection.close()
        self._connection = await asyncpg.connect(server.url(self.name))
        schema = self._functions.schema
        for name, type_name in STEPS.items():
            text = f"select * from {schema}.{name}($1::{schema}.{type_name}[])"
            self._statements[name] = await self._connection.prepare(text)
        for _ in range(WARM_UP):
            await self.log_in(1)
        await self._connection.execute("analyze")

    async def log_in(self, size: int) -> list[float]:
        """Log in new users with one call of each function; return the CPU time of each in microseconds per login."""
        logins = [new_login() for _ in range(size)]
        times = [self._cpu_us()]
        for name, type_name in STEPS.items():
            deadline = datetime.now(UTC) + timedelta(seconds=5)
            rows = [login | {"event_id": new_id("evt"), "deadline": deadline} for login in logins]
            requests = [tuple(row.get(field) for field in self._functions.types[type_name]) for row in rows]
            results = await self._statements[name].fetch(requests)
            times.append(self._cpu_us())
        if any(result["verdict"] != "ok" for result in results):
            raise RuntimeError("a login failed")
        return [(after - before) / size for before, after in itertools.pairwise(times)]

    async def wal_position(self) -> str:
        """Return the end of the WAL."""
        position: str = await self._connection.fetchval("select pg_current_wal_flush_lsn()::text")
        return position

    def _cpu_us(self) -> float:
        """Return the CPU time of the connection's backend so far."""
        return int(Path(f"/proc/{self._connection.get_server_pid()}/schedstat").read_text().split()[0]) / 1000


class Wal(NamedTuple):
    """The bytes that a number of logins wrote to the WAL."""

    logins: int
    size: int
    records: Counter[str]

    def describe(self) -> str:
        """Return the columns of the table, each per login."""
        entries = sum(n for name, n in self.records.items() if name.startswith(("Btree/INSERT", "Btree/SPLIT")))
        gin = sum(n for name, n in self.records.items() if name.startswith("Gin/"))
        hot = self.records["Heap/HOT_UPDATE"]
        other = self.records["Heap/UPDATE"] + self.records["Heap/UPDATE+INIT"]
        values = [self.size, entries, gin, hot, other]
        return "".join(f"{value / self.logins:>14.{1 if n else 0}f}" for n, value in enumerate(values))


def read_wal(data: Path, logins: int, ranges: Sequence[tuple[str, str]]) -> Wal:
    """Count the records of ranges of the WAL. Raises CalledProcessError."""
    records: Counter[str] = Counter()
    size = 0
    for start, end in ranges:
        program, directory = find_programs() / "pg_waldump", data / "pg_wal"
        command = [str(program), f"--path={directory}", "--stats=record", "-s", start, "-e", end]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        records.update({name: int(number) for name, number in RECORD_TYPE.findall(output)})
        size += position_of(end) - position_of(start)
    return Wal(logins, size, records)


def position_of(lsn: str) -> int:
    high, _, low = lsn.partition("/")
    return int(high, 16) << 32 | int(low, 16)


async def measure(databases: Sequence[Database], data: Path, sizes: Sequence[int], logins: int, rounds: int) -> None:
    """Measure the databases and sizes in alternation, and print the tables."""
    measured: defaultdict[tuple[int, str], list[list[float]]] = defaultdict(list)
    ranges: defaultdict[tuple[int, str], list[tuple[str, str]]] = defaultdict(list)
    for _ in range(rounds):
        for size, database in itertools.product(sizes, databases):
            start = await database.wal_position()
            calls = [await database.log_in(size) for _ in range(max(1, logins // size))]
            steps = [sum(step) / len(calls) for step in zip(*calls, strict=True)]
            measured[size, database.name].append([*steps, sum(steps)])
            ranges[size, database.name].append((start, await database.wal_position()))
    print_times(measured)
    titles = ["WAL, bytes", "B-tree", "GIN", "HOT updates", "other updates"]
    print(f"\n{'functions':10}{'batch':>6}" + "".join(f"{title:>14}" for title in titles), "  per login")
    for (size, name), positions in ranges.items():
        wal = read_wal(data, max(1, logins // size) * size * rounds, positions)
        print(f"{name:10}{size:6}{wal.describe()}")


def print_times(measured: dict[tuple[int, str], list[list[float]]]) -> None:
    columns = [*STEPS, "login"]
    print(f"{'functions':10}{'batch':>6}" + "".join(f"{name:>20}" for name in columns), "  µs: median (minimum)")
    for (size, name), values in measured.items():
        cells = [f"{median(column):.0f} ({min(column):.0f})" for column in zip(*values, strict=True)]
        print(f"{name:10}{size:6}" + "".join(f"{cell:>20}" for cell in cells))


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--logins", type=int, default=480, help="per round and size")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--against", type=Path, metavar="DIR", help="another checkout with sql/functions")
    arguments = parser.parse_args()
    databases = [Database("these", ROOT)]
    if arguments.against is not None:
        databases.append(Database("others", arguments.against))
    with (
        tempfile.TemporaryDirectory() as directory,
        PostgresServer(Path(directory) / "postgres", settings=SETTINGS) as server,
    ):
        for database in databases:
            await database.create(server)
        data = Path(directory) / "postgres" / "data"
        await measure(databases, data, arguments.sizes, arguments.logins, arguments.rounds)


if __name__ == "__main__":
    asyncio.run(main())
