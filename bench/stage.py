"""The stage: PostgreSQL with fsync, Valkey, a fake Twilio with TLS, and servers started by `auth1 serve`.

    python -m bench.stage [--port 3000]    start it, print how to use it, and wait for Ctrl-C

Everything is on the loopback and in a temporary directory; it ends with the process that started it.
RATE_LIMIT_MAX, the tenant's limits and the allowances of its fraud rules are high, so that no request is rejected.
"""

import argparse
import asyncio
import http.client
import json
import os
import secrets
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import TimeoutExpired
from time import perf_counter
from typing import Any

import asyncpg

from auth1.core.postgres.migrations import migrate
from auth1.dev.postgres import NO_SETTINGS, PostgresServer
from auth1.dev.processes import HOST, free_port, launch, send, wait_until
from auth1.dev.redis import RedisServer
from bench import twilio
from bench.accounts import ROOT, family
from tests.support.certificates import make_certificate

START_S = 30.0
STOP_S = 30.0
DATABASE = "auth1_bench"
CERTIFICATE = "twilio.pem"
# The maximum that validation accepts.
SETTINGS = {"rate_limit_per_hour": 100, "requests_per_minute": 1_000_000}
LIMITS = {"RATE_LIMIT_MAX": "1000000"}
# All fraud rules hold, and have allowances that a measurement does not reach: it logs many numbers in from one address.
_SCOPES = ("block_of_1000", "block_of_10000", "address", "network", "country", "cross_tenant", "guessing")
POLICY = {"rules": {scope: {"allowance": 1_000_000} for scope in _SCOPES}, "exposure_budget": 1_000_000}


class StageError(Exception):
    """The stage could not be started."""


@dataclass(frozen=True)
class Serving:
    """An `auth1 serve` that is healthy."""

    port: int
    pid: int
    cold_start_s: float  # from the launch of the process to its first healthy response
    admin_token: str

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def workers(self) -> list[int]:
        """Return the worker processes of the server."""
        return family(self.pid)[1:]

    def tenant(self, **settings: object) -> dict[str, Any]:
        """Create a tenant with high limits; return the response of POST /api/admin/tenants."""
        body = {"name": "Bench", "slug": f"b{secrets.token_hex(6)}", "settings": SETTINGS | settings}
        headers = {"content-type": "application/json", "authorization": f"Bearer {self.admin_token}"}
        status, answer = _ask(self.port, "POST", "/api/admin/tenants", json.dumps(body), headers)
        if status != 201:
            raise StageError(f"no tenant could be made: {status} {answer!r}")
        made: dict[str, Any] = json.loads(answer)
        self.set_policy(made["tenant_id"], POLICY)
        return made

    def set_policy(self, tenant_id: str, policy: Mapping[str, object]) -> None:
        """Set the fraud policy of a tenant."""
        headers = {"content-type": "application/json", "authorization": f"Bearer {self.admin_token}"}
        path = f"/api/admin/tenants/{tenant_id}/fraud/policy"
        status, answer = _ask(self.port, "PUT", path, json.dumps(policy), headers)
        if status != 200:
            raise StageError(f"the fraud policy could not be set: {status} {answer!r}")


@dataclass(frozen=True)
class Stage:
    """The services that a server needs."""

    postgres: PostgresServer
    redis: RedisServer
    twilio: twilio.Twilio
    directory: Path
    environment: Mapping[str, str]

    @contextmanager
    def serve(self, port: int | None = None, **changes: str) -> Iterator[Serving]:
        """Run `auth1 serve` until the end of the block, with only the stage's environment and `changes`."""
        port = port or free_port()
        log = self.directory / f"auth1-{port}.log"
        variables = {**self.environment, **changes, "PORT": str(port)}
        command = [shutil.which("env") or "env", "-i", *(f"{name}={value}" for name, value in variables.items())]
        started = perf_counter()
        process = launch(
            [*command, sys.executable, "-m", "auth1", "serve"], log=log, keep_open=[], death_signal=signal.SIGTERM
        )
        try:
            if not wait_until(lambda: process.poll() is not None or _healthy(port), START_S) or process.poll():
                raise StageError(f"auth1 serve did not get healthy:\n{log.read_text()}")
            elapsed_s = perf_counter() - started
            yield Serving(port, process.pid, elapsed_s, self.environment["ADMIN_TOKEN"])
        finally:
            processes = family(process.pid)
            process.terminate()
            try:
                process.wait(STOP_S)
            except TimeoutExpired:
                for pid in processes:
                    send(pid, signal.SIGKILL)
                process.wait()


@contextmanager
def set_up(postgres_settings: Mapping[str, str] = NO_SETTINGS) -> Iterator[Stage]:
    """Start the services of a server, and migrate its database. Settings are those of postgresql.conf."""
    with (
        tempfile.TemporaryDirectory(prefix="auth1-bench-", ignore_cleanup_errors=True) as temporary,
        PostgresServer(Path(temporary, "postgres"), durable=True, settings=postgres_settings) as postgres,
        RedisServer(Path(temporary, "redis")) as redis,
        twilio.Twilio(_certificate(Path(temporary))) as stand_in,
    ):
        os.environ["SSL_CERT_FILE"] = str(Path(temporary, CERTIFICATE))  # for measurements in this process
        asyncio.run(_create_database(postgres))
        environment = {
            "DATABASE_URL": postgres.url(DATABASE),
            "REDIS_URL": redis.url(),
            "JWT_SECRET": secrets.token_hex(32),
            "ADMIN_TOKEN": secrets.token_hex(32),
            "HOST": HOST,
            "PYTHONPATH": str(ROOT),  # the sources of this checkout, not of the installed one
            **LIMITS,
            "TWILIO_ACCOUNT_SID": twilio.ACCOUNT_SID,
            "TWILIO_AUTH_TOKEN": twilio.AUTH_TOKEN,
            "TWILIO_MESSAGING_SERVICE_SID": twilio.SERVICE_SID,
            "TWILIO_API_URL": stand_in.url,
            "SSL_CERT_FILE": os.environ["SSL_CERT_FILE"],
        }
        yield Stage(postgres, redis, stand_in, Path(temporary), environment)


def _certificate(directory: Path) -> Path:
    """Write a key and a self-signed certificate of this machine to a file."""
    file = directory / CERTIFICATE
    file.write_bytes(make_certificate(HOST))
    return file


async def _create_database(postgres: PostgresServer) -> None:
    connection = await asyncpg.connect(postgres.url())
    try:
        await connection.execute(f"create database {DATABASE}")
    finally:
        await connection.close()
    await migrate(postgres.url(DATABASE))


def _healthy(port: int) -> bool:
    with suppress(OSError, http.client.HTTPException):
        return _ask(port, "GET", "/health")[0] == 200
    return False


def _ask(
    port: int, method: str, path: str, body: str | None = None, headers: Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(HOST, port, timeout=10)
    try:
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def _wait_here() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.stage", description="Set the stage until Ctrl-C.")
    parser.add_argument("--port", type=int, help="where Auth1 listens (default: a free port)")
    options = parser.parse_args()
    with set_up() as stage, stage.serve(options.port) as server:
        tenant = server.tenant()
        print(
            f"export AUTH1_KEY={tenant['api_key']} AUTH1_CODES=http://{HOST}:{stage.twilio.port}\n"
            f"export AUTH1_SECRET={tenant['secret_key']} AUTH1_ADMIN={server.admin_token}\n"
            f"just load {server.url}\n"
            f"\nA test key {tenant['test_key']}.\n"
            f"Log: {stage.directory}/auth1-{server.port}.log. Ctrl-C ends everything.",
            flush=True,
        )
        ends = [signal.SIGINT, signal.SIGTERM]
        signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # else they would end this process before sigwait returns
        signal.sigwait(ends)


if __name__ == "__main__":
    _wait_here()
