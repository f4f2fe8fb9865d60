"""Measure how long an import blocks the event loop, and the effect on other requests.

    python -m bench.blocking [--kind nested|wide|plain|csv] [--rounds 5]

One `auth1 serve` with one worker. A second tenant reads its settings 50 times a second: in each round first alone, then
beside two imports of new users at a time. The percentiles are those of all rounds. PostgreSQL and this program take
CPU from the worker too, on two cores.
"""

import argparse
import asyncio
import io
import json
import secrets
import time
from collections import Counter
from collections.abc import Iterator

import httpx

from auth1.errors import ApiError
from auth1.user_transfer import field_map, parsers, validate
from bench import stage

BYTES = 4_000_000
RATE = 50  # a second
SECONDS = 4.0
PIECE_BYTES = 200_000  # of an import beside other requests, so that a round ends in time
MAP = "email=email|" + "|".join(f"a.b{n}" for n in range(40))


def rows(kind: str) -> Iterator[bytes]:
    """Rows that cost as much as the limits allow, or plain rows of new users."""
    n, unique = 0, secrets.token_hex(4)
    while True:
        n += 1
        row: dict[str, object] = {"email": f"{unique}-{n}@example.com"}
        if kind == "nested":
            row = {"a": {f"k{key}": "" for key in range(5000)}, "z": 1}
        elif kind == "wide":
            row |= {f"a.c{key}.d": 1 for key in range(490)}
        elif kind == "csv":
            yield f"{unique}-{n}@example.com,{unique}-{n},\n".encode()
            continue
        else:
            row["external_id"] = f"{unique}-{n}"
        yield json.dumps(row).encode() + b"\n"


def body(kind: str, most: int = BYTES) -> bytes:
    """Return an upload of about `most` bytes and at most 50,000 lines."""
    pieces, size = [b"email,external_id,ban_reason\n"] if kind == "csv" else [], 0
    for row in rows(kind):
        pieces.append(row)
        size += len(row)
        if size >= most or len(pieces) == 49_999:
            return b"".join(pieces)
    raise AssertionError


def parse_ms(kind: str, raw: bytes, names: str) -> tuple[float, float]:
    """Return the time of parsing and checking all rows, and the longest time of one row, in milliseconds."""
    fields = field_map.parse(names, None)
    started = last = time.perf_counter()
    longest = 0.0
    for line in parsers.read("csv" if kind == "csv" else "ndjson", io.BytesIO(raw), fields):
        try:
            if line.row is not None:
                validate.check(line.row, fields)
        except ApiError:
            pass
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    return (last - started) * 1000, longest * 1000


async def probe(client: httpx.AsyncClient, key: str, until: asyncio.Event) -> list[float]:
    """Read settings at a fixed rate and return the times in milliseconds."""
    times: list[float] = []
    failed: Counter[int] = Counter()

    async def call() -> None:
        started = time.perf_counter()
        response = await client.get("/api/tenant/settings", headers={"x-api-key": key}, timeout=60)
        failed.update([response.status_code] if response.status_code != 200 else [])
        times.append((time.perf_counter() - started) * 1000)

    async with asyncio.TaskGroup() as group:
        while not until.is_set():
            group.create_task(call())
            await asyncio.sleep(1 / RATE)
    if failed:
        print(f"{'':20} failed: {dict(failed)}")
    return times


async def upload(client: httpx.AsyncClient, key: str, kind: str, raw: bytes, names: str) -> float:
    """Import and return the seconds that it took."""
    media_type = "text/csv" if kind == "csv" else "application/x-ndjson"
    headers = {"x-api-key": key, "content-type": media_type}
    started = time.perf_counter()
    response = await client.post(
        "/api/tenant/users/import", params={"map": names}, headers=headers, content=raw, timeout=120
    )
    assert response.status_code == 200, response.text
    return time.perf_counter() - started


async def measure(url: str, busy: str, other: str, kind: str, names: str, rounds: int) -> None:
    """Print the times of other requests without and with two imports, in alternation."""
    alone: list[float] = []
    beside: list[float] = []
    took: list[float] = []
    users = 0
    async with httpx.AsyncClient(base_url=url, limits=httpx.Limits(max_connections=50)) as client:
        for _ in range(rounds):
            done = asyncio.Event()
            asyncio.get_running_loop().call_later(SECONDS, done.set)
            alone += await probe(client, other, done)
            done = asyncio.Event()
            probing = asyncio.create_task(probe(client, other, done))
            started = time.perf_counter()
            while time.perf_counter() - started < SECONDS:
                pieces = [body(kind, PIECE_BYTES) for _ in range(2)]
                users += sum(piece.count(b"\n") for piece in pieces)
                took += await asyncio.gather(*(upload(client, busy, kind, piece, names) for piece in pieces))
            done.set()
            beside += await probing
    show("alone", sorted(alone))
    show("beside two imports", sorted(beside))
    print(f"{'':20} {len(took)} imports of {users / len(took):,.0f} lines took {users / sum(took):,.0f} lines/s each")


def show(name: str, times: list[float]) -> None:
    """Print percentiles."""
    p50, p99 = times[len(times) // 2], times[int(len(times) * 0.99)]
    print(f"{name:20} {len(times)} requests, p50 {p50:.1f} ms, p99 {p99:.1f} ms, longest {times[-1]:.1f} ms")


def main(kind: str, rounds: int) -> None:
    """Measure one kind of rows."""
    names = "" if kind in ("plain", "csv") else MAP
    raw = body(kind)
    total, longest = parse_ms(kind, raw, names)
    print(f"{kind}: {len(raw) / 1e6:.1f} MB, parsed in {total:.0f} ms, longest row {longest:.1f} ms")
    with stage.set_up() as set_up, set_up.serve(WORKERS="1") as serving:
        busy, other = serving.tenant(), serving.tenant()
        asyncio.run(measure(serving.url, busy["secret_key"], other["secret_key"], kind, names, rounds))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.blocking", description=__doc__.partition("\n")[0])
    parser.add_argument("--kind", choices=("nested", "wide", "plain", "csv"), default="nested")
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    main(chosen.kind, chosen.rounds)
