"""`auth1 fraud`: load line types by prefix and networks by type, for all tenants.

A file is read and compiled before anything is changed: a bad line changes nothing. Workers use the new version within a
second.
"""

import sys
from argparse import Namespace
from collections.abc import Callable, Iterable
from pathlib import Path

from auth1.cli.commands import fail, run
from auth1.core import schemas
from auth1.fraud import datasets
from auth1.fraud.files import BadLine, read_lines
from auth1.fraud.networks import compile_networks
from auth1.fraud.prefixes import compile_prefixes
from auth1.services import Services

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


def _load(options: Namespace, name: str, title: str, compile_lines: Compile) -> None:
    if options.remove == (options.file is not None):
        fail("give a file or --remove, not both", code=2)
    if options.remove:
        removed = run(lambda app: datasets.remove_dataset(app.postgres, name))
        print(schemas.encode({"removed": removed}).decode() if options.json else _removed(title, removed))
        return
    entries, data = _compile(options.file, compile_lines)

    async def act(app: Services) -> None:
        await datasets.replace_dataset(app.postgres, name, entries, data)

    run(act)
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
