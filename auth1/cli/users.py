"""`auth1 users import` and `auth1 users export`: all users of a tenant, from a file and into one.

What was imported is written down beside the file after each batch, so that an import that was broken off goes on with
`--resume`; and because users who exist are left as they are, it can as well begin again.
"""

import contextlib
import os
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import msgspec

from auth1.cli.commands import fail, manager_for, run
from auth1.core import schemas
from auth1.errors import ApiError, Unavailable
from auth1.services import Services
from auth1.user_transfer import exporter, field_map, importer, parsers
from auth1.users.schemas import Imported

_TELL_S = 0.5  # between two lines of progress on a terminal
_TELL_LOG_S = 5.0  # and elsewhere
GO_ON = "What is imported stays; --resume goes on from there."
_SUFFIXES: dict[str, parsers.Format] = {".csv": "csv", ".json": "json"}


class Checkpoint(msgspec.Struct):
    """How far an import has come, and of which file into which tenant."""

    tenant: str
    size: int
    line: int = 0
    created: int = 0
    existing: int = 0
    rejected: int = 0


class Progress:
    """Tells on stderr how far it has come, and how fast."""

    def __init__(self) -> None:
        self._started = self._told = time.monotonic()
        self._terminal = sys.stderr.isatty()

    def tell(self, rows: int, rejected: int | None = None, *, last: bool = False) -> None:
        """Tell, unless it was told a moment ago."""
        now = time.monotonic()
        if not last and now - self._told < (_TELL_S if self._terminal else _TELL_LOG_S):
            return
        self._told = now
        more = "" if rejected is None else f"  {rejected:,} rejected"
        line = f"{rows:,} rows  {rows / max(now - self._started, 0.001):,.0f} rows/s{more}"
        end = "\r" if self._terminal and not last else "\n"
        print(line, end=end, file=sys.stderr, flush=True)


def import_users(options: Namespace) -> None:
    """Import users; exits 1 when a line was rejected."""
    fields = _fields(options)
    kind = options.format or _SUFFIXES.get(Path(options.file).suffix, "ndjson")
    rejects_mode = "a" if options.resume else "w"
    with (
        _opened(options.file, "rb", sys.stdin.buffer) as file,
        _opened(options.rejects, rejects_mode, sys.stderr) as rejects,
    ):
        try:
            total = run(lambda app: _import(app, options, kind, fields, file, rejects))
        except KeyboardInterrupt:
            fail(f"interrupted. {GO_ON}", code=130)
    counts = {"created": total.created, "existing": total.existing, "rejected": total.rejected}
    if options.json:
        print(schemas.encode(counts).decode())
    else:
        print("  ".join(f"{name} {count}" for name, count in counts.items()))
    if total.rejected:
        raise SystemExit(1)


def export_users(options: Namespace) -> None:
    """Export users."""
    kind: exporter.Format = options.format or ("csv" if options.file.endswith(".csv") else "ndjson")

    async def act(app: Services, file: IO[bytes]) -> None:
        manager = await manager_for(app, options)
        progress, rows = Progress(), 0
        async for piece in await exporter.begin(app.postgres, manager.tenant_id, kind):
            file.write(piece)
            rows += piece.count(b"\n")  # in all that we write a line is a row
            progress.tell(rows)
        file.flush()
        progress.tell(max(rows - (kind == "csv"), 0), last=True)

    try:
        with _opened(options.file, "wb", sys.stdout.buffer) as file:
            run(lambda app: act(app, file))
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None


async def _import(
    app: Services,
    options: Namespace,
    kind: parsers.Format,
    fields: field_map.FieldMap,
    file: IO[bytes],
    rejects: IO[str],
) -> Checkpoint:
    manager = await manager_for(app, options)
    beside = _checkpoint_path(options.file)
    state = Checkpoint(manager.tenant_id, os.fstat(file.fileno()).st_size if beside else 0)
    if options.resume:
        state = _resumed(beside, state)
    state.line = max(state.line, options.skip)
    done_before, first_line = state.created + state.existing + state.rejected, state.line
    progress = Progress()

    def done(line: int, part: Imported) -> None:
        state.line = line
        state.created += part.created
        state.existing += part.existing
        state.rejected += part.rejected
        for reject in part.rejects:
            print(f"{options.file}:{reject.line}: {reject.reason}", file=rejects)
        rejects.flush()
        if beside is not None:
            _write_down(beside, state)
        progress.tell(state.created + state.existing + state.rejected - done_before, state.rejected)

    lines = (line for line in parsers.read(kind, file, fields.known) if line.number > first_line)
    try:
        await importer.import_users(app, manager, lines, fields, done)
    except Unavailable as refusal:
        raise Unavailable(f"{refusal.detail} {GO_ON}") from None
    progress.tell(state.created + state.existing + state.rejected - done_before, state.rejected, last=True)
    if beside is not None:
        beside.unlink(missing_ok=True)
    return state


def _fields(options: Namespace) -> field_map.FieldMap:
    try:
        return field_map.parse(options.map, options.preset)
    except ApiError as refusal:
        fail("\n".join(f"--{field}: {message}" for field, message in refusal.errors), code=2)


def _checkpoint_path(name: str) -> Path | None:
    return None if name == "-" else Path(name + ".checkpoint")


def _resumed(beside: Path | None, fresh: Checkpoint) -> Checkpoint:
    """Where an import of this file into this tenant was broken off; from the beginning, if it never was."""
    if beside is None:
        fail("--resume needs a file; of what comes by a pipe, --skip what is imported already", code=2)
    try:
        state = msgspec.json.decode(beside.read_bytes(), type=Checkpoint)
    except FileNotFoundError:
        return fresh
    except (OSError, msgspec.DecodeError) as error:
        fail(f"{beside} cannot be read: {error}")
    if (state.tenant, state.size) != (fresh.tenant, fresh.size):
        fail(f"{beside} is of another tenant, or the file has changed since; remove it to begin again")
    return state


def _write_down(beside: Path, state: Checkpoint) -> None:
    """Replace the checkpoint as a whole: a process may die at any moment."""
    new = beside.with_name(beside.name + ".new")
    new.write_bytes(schemas.encode(state))
    new.replace(beside)


@contextlib.contextmanager
def _opened(name: str, mode: str, standard: IO[Any]) -> Iterator[IO[Any]]:
    """A file, or the standard stream that `-` stands for."""
    if name == "-":
        yield standard
        return
    try:
        file = open(name, mode, encoding=None if "b" in mode else "utf-8")  # noqa: SIM115  # only opening may fail so
    except OSError as error:
        fail(f"{name} cannot be {'read' if mode == 'rb' else 'written'}: {error.strerror}")
    with file:
        yield file
