"""`auth1 users import` and `auth1 users export`: all users of a tenant, from a file and into one.

After each batch a checkpoint beside the file records the progress, so that `--resume` continues an interrupted import.
Existing users are left unchanged, so an import can also start again from the first line.
"""

import contextlib
import os
import sys
import time
from argparse import Namespace
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import msgspec

from auth1.cli.commands import fail, run, tenant_admin_for
from auth1.core import schemas
from auth1.errors import ApiError, Unavailable
from auth1.services import Services
from auth1.user_transfer import exporter, field_map, importer, parsers
from auth1.user_transfer.lines import Line
from auth1.users.schemas import ImportResult

_TERMINAL_INTERVAL_S = 0.5  # between two lines of progress on a terminal
_LOG_INTERVAL_S = 5.0  # and elsewhere
UNVERIFIED_HINT = (
    "{:,} users have a phone or email that is not verified: it is profile data, not a login."
    " Use --trust-unverified to import it as a login."
)
RESUME_HINT = "Imported users are kept; --resume continues from there."
COUNTS = tuple(ImportResult().counts())
_SUFFIXES: dict[str, parsers.Format] = {".csv": "csv", ".json": "json"}


class Checkpoint(msgspec.Struct):
    """The progress of an import of one file into one tenant; `size` is the file's, in bytes."""

    tenant: str
    size: int
    line: int = 0
    read: int = 0
    created: int = 0
    existing: int = 0
    skipped: int = 0
    rejected: int = 0
    unverified: int = 0

    def counts(self) -> dict[str, int]:
        """Return the numbers that are printed."""
        return {name: getattr(self, name) for name in COUNTS}

    @property
    def adds_up(self) -> bool:
        """Return whether every line that was read has one result."""
        return self.read == self.created + self.existing + self.skipped + self.rejected


class Progress:
    """Prints the progress on stderr."""

    def __init__(self) -> None:
        self._started = self._printed = time.monotonic()
        self._terminal = sys.stderr.isatty()

    def show(self, rows: int, rejected: int | None = None, *, last: bool = False) -> None:
        """Print the progress, unless it was printed a moment ago."""
        now = time.monotonic()
        if not last and now - self._printed < (_TERMINAL_INTERVAL_S if self._terminal else _LOG_INTERVAL_S):
            return
        self._printed = now
        more = "" if rejected is None else f"  {rejected:,} rejected"
        line = f"{rows:,} rows  {rows / max(now - self._started, 0.001):,.0f} rows/s{more}"
        end = "\r" if self._terminal and not last else "\n"
        print(line, end=end, file=sys.stderr, flush=True)


def import_users(options: Namespace) -> None:
    """Import users; exits 1 when a line was rejected, or when the numbers do not add up."""
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
            fail(f"interrupted. {RESUME_HINT}", code=130)
    if options.json:
        print(schemas.encode(total.counts()).decode())
    else:
        print("  ".join(f"{name} {count}" for name, count in total.counts().items()))
    if total.unverified and not options.json:
        print(UNVERIFIED_HINT.format(total.unverified), file=sys.stderr)
    if not total.adds_up:
        fail(
            "the numbers do not add up: some lines have no result. Import the file again; existing users stay unchanged"
        )
    if total.rejected:
        raise SystemExit(1)


def export_users(options: Namespace) -> None:
    """Export users."""
    kind: exporter.Format = options.format or ("csv" if options.file.endswith(".csv") else "ndjson")

    async def operation(app: Services, file: IO[bytes]) -> None:
        manager = await tenant_admin_for(app, options)
        progress, rows = Progress(), 0
        async for piece in await exporter.begin(app.postgres, manager.tenant_id, kind):
            file.write(piece)
            rows += piece.count(b"\n")  # the export writes one row per line
            progress.show(rows)
        file.flush()
        progress.show(max(rows - (kind == "csv"), 0), last=True)

    try:
        with _opened(options.file, "wb", sys.stdout.buffer) as file:
            run(lambda app: operation(app, file))
    except BrokenPipeError:  # the reader has closed, as `| head` does
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
    manager = await tenant_admin_for(app, options)
    beside = _checkpoint_path(options.file)
    state = Checkpoint(manager.tenant_id, os.fstat(file.fileno()).st_size if beside else 0)
    if options.resume:
        state = _resumed(beside, state)
    before = msgspec.structs.replace(state)
    state.line = max(state.line, options.skip)
    how = importer.Options(fields, options.trust_unverified, state.line + 1)
    progress = Progress()

    def show(*, last: bool = False) -> None:
        progress.show(state.read - before.read, state.rejected, last=last)

    def on_batch(line: int, part: ImportResult) -> None:
        state.line = max(state.line, line)
        for name, count in part.counts().items():
            setattr(state, name, getattr(state, name) + count)
        for reject in part.rejects:
            span = f"{reject.line}-{reject.last_line}" if reject.lines > 1 else f"{reject.line}"
            print(f"{options.file}:{span}: {reject.reason}", file=rejects)
        rejects.flush()
        if beside is not None:
            _save(beside, state)
        show()

    lines = _unread(parsers.read(kind, file, fields), before.line)
    try:
        await importer.import_users(app, manager, lines, how, on_batch)
    except Unavailable as error:
        raise Unavailable(f"{error.detail} {RESUME_HINT}") from None
    show(last=True)
    if beside is not None:
        beside.unlink(missing_ok=True)
    return state


def _unread(lines: Iterable[Line], last: int) -> Iterator[Line]:
    """Return the lines after those that a checkpoint has counted."""
    return (line for line in lines if line.number > last)


def _fields(options: Namespace) -> field_map.FieldMap:
    try:
        return field_map.parse(options.map, options.preset)
    except ApiError as error:
        fail("\n".join(f"--{field}: {message}" for field, message in error.errors), code=2)


def _checkpoint_path(name: str) -> Path | None:
    return None if name == "-" else Path(name + ".checkpoint")


def _resumed(beside: Path | None, fresh: Checkpoint) -> Checkpoint:
    """Return the checkpoint of this file and tenant, or a new one where there is none."""
    if beside is None:
        fail("--resume needs a file; for a pipe, use --skip with the number of lines that are imported", code=2)
    try:
        state = msgspec.json.decode(beside.read_bytes(), type=Checkpoint)
    except FileNotFoundError:
        return fresh
    except (OSError, msgspec.DecodeError) as error:
        fail(f"{beside} cannot be read: {error}")
    if (state.tenant, state.size) != (fresh.tenant, fresh.size):
        fail(f"{beside} belongs to another tenant, or the file has changed since; remove it to start again")
    return state


def _save(beside: Path, state: Checkpoint) -> None:
    """Replace the checkpoint file in one step, so that it is complete at any time."""
    new = beside.with_name(beside.name + ".new")
    new.write_bytes(schemas.encode(state))
    new.replace(beside)


@contextlib.contextmanager
def _opened(name: str, mode: str, standard: IO[Any]) -> Iterator[IO[Any]]:
    """Open a file, or the standard stream for `-`."""
    if name == "-":
        yield standard
        return
    try:
        file = open(name, mode, encoding=None if "b" in mode else "utf-8")  # noqa: SIM115  # the with statement below closes it
    except OSError as error:
        fail(f"{name} cannot be {'read' if mode == 'rb' else 'written'}: {error.strerror}")
    with file:
        yield file
