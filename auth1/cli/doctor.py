"""`auth1 doctor`: the production checklist, checked against the settings and the running services.

It sends no message and changes nothing. It exits 0 when all is well, 1 with warnings, 2 with failures. With
`--before-deploy`, warnings exit 0, and what the deployment itself provides is not expected: migrations, and a response
at APP_URL.
"""

import asyncio
import os
from argparse import Namespace
from collections.abc import Awaitable, Callable, Iterable
from typing import NoReturn

from auth1.cli import fraud_checks, provider_checks, service_checks, webhook_checks
from auth1.config.checklist import Finding, check_settings
from auth1.config.settings import ConfigurationError, Settings, load_settings
from auth1.core import schemas

CHECK_S = 15.0
_EXIT_CODES = {"ok": 0, "warn": 1, "fail": 2}
_MARKS = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}

Check = Callable[[Settings], Awaitable[list[Finding]]]
CHECKS: tuple[tuple[str, Check], ...] = (
    ("database", service_checks.check_database),
    ("database pooler", service_checks.check_pooler),
    ("migrations", service_checks.check_migrations),
    ("webhook secrets", webhook_checks.check_secrets),
    ("hook secrets", webhook_checks.check_hook_secrets),
    ("Redis", service_checks.check_redis),
    ("public URL", provider_checks.check_public_url),
    ("Twilio", provider_checks.check_twilio),
    ("Lookup", fraud_checks.check_lookup),
    ("GeoIP", fraud_checks.check_geoip),
    ("SNS", provider_checks.check_sns),
    ("SMTP", provider_checks.check_smtp),
)
_REPLACED_BEFORE_DEPLOY: dict[str, Check | None] = {
    "migrations": service_checks.check_migrations_to_apply,
    "public URL": None,
}


def doctor(options: Namespace) -> NoReturn:
    """Check the installation and exit with the worst status; before a deployment, warnings count as success."""
    try:
        settings = load_settings(os.environ)
    except ConfigurationError as error:
        findings = [Finding("settings", "fail", problem, "correct the variable") for problem in error.problems]
    else:
        findings = [
            *check_settings(settings),
            *asyncio.run(_check_services(settings, selected_checks(before_deploy=options.before_deploy))),
            service_checks.check_backup(options.backup_marker, options.backup_days),
        ]
    worst = max((finding.status for finding in findings), key=_EXIT_CODES.__getitem__)
    if options.json:
        checks = [finding._asdict() for finding in findings]
        print(schemas.encode({"status": worst, "checks": checks}).decode())
    else:
        print(report(findings))
    raise SystemExit(0 if options.before_deploy and worst == "warn" else _EXIT_CODES[worst])


def selected_checks(*, before_deploy: bool) -> list[tuple[str, Check]]:
    """Return the checks of the services, in their order."""
    replaced = _REPLACED_BEFORE_DEPLOY if before_deploy else {}
    chosen = [(name, replaced.get(name, check)) for name, check in CHECKS]
    return [(name, check) for name, check in chosen if check is not None]


def report(findings: Iterable[Finding]) -> str:
    """Return one line for each finding, with the fix at its end."""
    lines = []
    for finding in findings:
        fix = f" To do: {finding.fix}." if finding.fix and finding.status != "ok" else ""
        lines.append(f"{_MARKS[finding.status]}  {finding.check}: {finding.message}{fix}")
    return "\n".join(lines)


async def _check_services(settings: Settings, chosen: list[tuple[str, Check]]) -> list[Finding]:
    """Run the checks one after the other, so that none slows what another measures."""
    return [finding for name, check in chosen for finding in await _run_check(name, check, settings)]


async def _run_check(name: str, check: Check, settings: Settings) -> list[Finding]:
    """Run a check within its deadline. One that breaks is a finding, not the end of the others."""
    try:
        async with asyncio.timeout(CHECK_S):
            return await check(settings)
    except TimeoutError:
        return [Finding(name, "fail", f"No answer within {CHECK_S:.0f} s.", "check the address and the firewall")]
    except Exception as error:
        return [Finding(name, "fail", f"The check failed: {type(error).__name__}: {error}", "check the settings")]
