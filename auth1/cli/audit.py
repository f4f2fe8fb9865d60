"""`auth1 audit verify`: exit 0 if nothing was changed, 1 with findings, 2 if it could not check."""

import sys
import time
from argparse import Namespace
from contextlib import ExitStack
from datetime import datetime
from typing import BinaryIO

import msgspec

from auth1.audit.sealing.heads_log import HeadsResult, compare_heads
from auth1.audit.sealing.pages import AuditReader
from auth1.audit.sealing.seals import seal_keys
from auth1.audit.sealing.verify import Progress, Report, Verification
from auth1.cli.commands import fail, run, tenant_admin_for
from auth1.core import schemas
from auth1.core.schemas import Out
from auth1.core.timestamps import MESSAGE
from auth1.services import Services

CANNOT_CHECK = 2
PROGRESS_S = 0.2


class VerifyResult(Out):
    """The result with --json."""

    is_untouched: bool
    report: Report
    heads: int | None  # compared with the log, if one was given
    heads_not_authentic: int


def verify(options: Namespace) -> None:
    """Verify the audit log, and print the first wrong event or seal of each tenant."""
    since = _moment(options.since)
    with ExitStack() as files:
        heads = _open(options.heads, files)

        async def operation(app: Services) -> VerifyResult:
            tenant_id = (await tenant_admin_for(app, options)).tenant_id if options.tenant else None
            if tenant_id is not None and options.sandbox:
                tenant_id += ":test"
            keys = seal_keys(app.keyring)
            reader = AuditReader(app.reads if options.replica else app.postgres, tenant_id)
            report = await Verification(reader, keys, _progress(options)).run(since)
            compared: HeadsResult | None = None
            if heads is not None:
                # On a replica seals may be missing that are in the log already.
                compared = await compare_heads(AuditReader(app.postgres, tenant_id), heads, keys, tenant_id)
                named = {one.tenant_id for one in report.findings}
                report.findings += [one for one in compared.findings if one.tenant_id not in named]
            return VerifyResult(
                is_untouched=not report.findings and not report.unknown_keys,
                report=report,
                heads=compared.compared if compared is not None else None,
                heads_not_authentic=compared.not_authentic if compared is not None else 0,
            )

        result = run(operation, failed=CANNOT_CHECK)
    _show(options, result)
    if result.report.findings:
        raise SystemExit(1)
    if result.report.unknown_keys:
        fail("JWT_SECRET is not the secret that sealed these events, so their MACs cannot be checked.", CANNOT_CHECK)


def _show(options: Namespace, result: VerifyResult) -> None:
    if options.json:
        print(schemas.encode(result).decode())
        return
    report = result.report
    for one in report.findings:
        place = " ".join(filter(None, [one.event_id, f"seal {one.seq}" if one.seq is not None else None]))
        print(f"{one.tenant_id}  {one.kind}  {place}  {one.message}")
    if result.heads is not None:
        print(f"{result.heads} heads of the log compared, {result.heads_not_authentic} with a wrong MAC ignored")
    verdict = f"{len(report.findings)} tenants with findings" if report.findings else "no change found"
    print(
        f"{report.events} events, {report.seals} seals, {report.tenants} tenants: {verdict};"
        f" {report.unsealed} events are not sealed yet"
    )


def _moment(text: str | None) -> datetime | None:
    """Return a timestamp; exits 2 for other texts."""
    if text is None:
        return None
    try:
        moment = msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        moment = None
    if moment is None or moment.tzinfo is None:
        fail(f"--since: {MESSAGE}", CANNOT_CHECK)
    return moment


def _open(name: str | None, files: ExitStack) -> BinaryIO | None:
    """Open the log; exits 2 if it cannot be read."""
    if name is None:
        return None
    if name == "-":
        return sys.stdin.buffer
    try:
        return files.enter_context(open(name, "rb"))
    except OSError as error:
        fail(f"--heads {name}: {error.strerror}", CANNOT_CHECK)


def _progress(options: Namespace) -> Progress:
    """Return a function that shows the progress on a terminal."""
    shown_at = 0.0

    def show(events: int, seals: int) -> None:
        nonlocal shown_at
        if time.monotonic() - shown_at > PROGRESS_S:
            shown_at = time.monotonic()
            print(f"\r{events:,} events, {seals:,} seals ", end="", file=sys.stderr, flush=True)

    def show_nothing(events: int, seals: int) -> None:
        """Show no progress in a log or a pipe."""

    return show if sys.stderr.isatty() and not options.json else show_nothing
