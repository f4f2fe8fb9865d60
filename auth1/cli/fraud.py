"""`auth1 fraud`: load line types by prefix and networks by type, for all tenants; replay stored decisions.

A file is read and compiled before anything is changed: a bad line changes nothing. Workers use the new version within a
second.
"""

import sys
from argparse import Namespace
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import asdict

from auth1.cli.commands import fail, run
from auth1.core import schemas
from auth1.fraud.datasets import store as datasets
from auth1.fraud.datasets.files import BadLine, read_lines
from auth1.fraud.datasets.networks import compile_networks
from auth1.fraud.decisions import handlers
from auth1.fraud.decisions.simulation import Simulation
from auth1.fraud.line_types.prefixes import compile_prefixes
from auth1.services import Services
from auth1.tenants import store

_TENANTS = 100  # of a page
_REPLAY = "{:24} {:>10} {:>10} {:>14} {:>10} {:>16} {:>10} {:>11}"
Compile = Callable[[Iterable[str]], tuple[int, bytes]]


def load_prefixes(options: Namespace) -> None:
    """Replace the line types by prefix, or remove them."""
    _load(options, datasets.PREFIXES, "prefixes", compile_prefixes)


def load_networks(options: Namespace) -> None:
    """Replace the networks of a type, or remove them."""
    _load(options, datasets.networks_name(options.name), f"{options.name} networks", compile_networks)


def show_datasets(options: Namespace) -> None:
    """List the loaded datasets."""
    rows = run(lambda app: datasets.list_datasets(app.postgres))
    if options.json:
        print(schemas.encode([row._asdict() for row in rows]).decode())
        return
    for row in rows:
        print(
            f"{row.name:16}  {row.entries:>9,} entries  {row.bytes:>11,} bytes  {row.loaded_at:%Y-%m-%d %H:%M:%S} UTC"
        )


def replay(options: Namespace) -> None:
    """Evaluate the stored decisions of each tenant under its policy, with the changes of a file."""
    changes = _read_policy(options.policy) if options.policy is not None else {}
    since = datetime.now(UTC) - timedelta(days=options.days)

    async def operation(app: Services) -> dict[str, Simulation]:
        found, after = {}, ""
        while tenants := await store.list_tenants(app.postgres, after, _TENANTS):
            for tenant in tenants:
                found[tenant.slug] = await handlers.replay(app, tenant.tenant_id, changes, since)
            after = tenants[-1].tenant_id
        return {slug: result for slug, result in found.items() if result.requests}

    results = run(operation)
    if options.json:
        print(schemas.encode(results).decode())
        return
    print(_REPLAY.format("tenant", *(name for name in Simulation.__struct_fields__ if name != "since")))
    for slug, result in results.items():
        print(_REPLAY.format(slug, *(value for name, value in asdict(result).items() if name != "since")))


def _read_policy(path: str) -> dict[str, Any]:
    """Read the changes of a policy from a JSON file, or from stdin for `-`. Exits with the reason."""
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text()
        return msgspec.json.decode(text, type=dict[str, Any])
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        fail(f"{path} is no policy in JSON: {error}")


def _load(options: Namespace, name: str, title: str, compile_lines: Compile) -> None:
    if options.remove == (options.file is not None):
        fail("give a file or --remove, not both", code=2)
    if options.remove:
        removed = run(lambda app: datasets.remove_dataset(app.postgres, name))
        print(schemas.encode({"removed": removed}).decode() if options.json else _removed(title, removed))
        return
    entries, data = _compile(options.file, compile_lines)

    async def operation(app: Services) -> None:
        await datasets.replace_dataset(app.postgres, name, entries, data)

    run(operation)
    if options.json:
        print(schemas.encode({"entries": entries, "bytes": len(data)}).decode())
    else:
        print(f"loaded {entries:,} {title}: {len(data):,} bytes in each worker")


def _compile(path: str, compile_lines: Compile) -> tuple[int, bytes]:
    """Compile a file, or stdin for `-`. Exits with the line and the reason."""
    try:
        if path == "-":
            return compile_lines(read_lines(sys.stdin.buffer))
        with Path(path).open("rb") as file:
            return compile_lines(read_lines(file))
    except BadLine as error:
        fail(f"{path}: {error}. Nothing was changed")
    except OSError as error:
        fail(f"{path} cannot be read: {error.strerror}")


def _removed(title: str, removed: bool) -> str:
    return f"removed: {title}" if removed else f"there are no {title}"
