"""Two real instances of Auth1 behind a real nginx: restarted in turn under load, and killed."""

import asyncio
import http.client
import itertools
import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from auth1.dev.processes import free_port
from tests.ops.nginx import HOST, NGINX, Proxy, running
from tests.support.process import Auth1, until
from tests.support.providers.twilio import Request, TwilioServer

CLIENTS = 4
ROUNDS = 2  # how often each instance is restarted
MAX_LOGINS = 250  # of a client: a test key has 600 requests a minute
USERS_PER_LOGIN = 4
PAUSE_S = 0.05  # a steady load, not all that the machine can do: an overloaded Auth1 answers 503 with good reason

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")


class Load:
    """Clients that log in through the sandbox and create users, each on its own connection."""

    def __init__(self, proxy: Proxy, tenants: list[dict[str, Any]]) -> None:
        self._proxy = proxy
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(tenant,)) for tenant in tenants]
        self.statuses: Counter[int | str] = Counter()

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, tenant: dict[str, Any]) -> None:
        connection = self._proxy.connect()
        numbers = itertools.count()
        for turn in itertools.count():
            if self._stop.is_set():
                break
            if turn < MAX_LOGINS:
                phone = f"+1212555{turn:04d}"
                self._post(connection, "/api/auth/request", tenant["test_key"], {"phone": phone})
                self._post(connection, "/api/auth/verify", tenant["test_key"], {"phone": phone, "code": "000000"})
            for _ in range(USERS_PER_LOGIN):
                user = {"email": f"user{next(numbers)}@example.com"}
                self._post(connection, "/api/tenant/users", tenant["secret_key"], user)
        connection.close()

    def _post(self, connection: http.client.HTTPSConnection, path: str, key: str, body: dict[str, str]) -> None:
        headers = {"Host": HOST, "x-api-key": key, "content-type": "application/json"}
        time.sleep(PAUSE_S)
        try:
            connection.request("POST", path, body=json.dumps(body), headers=headers)
            response = connection.getresponse()
            response.read()
            self.statuses[response.status] += 1
        except (OSError, http.client.HTTPException) as error:
            self.statuses[repr(error)] += 1
            connection.close()


@pytest.fixture
async def instances(environment: dict[str, str], tmp_path: Path) -> AsyncIterator[list[Auth1]]:
    """Return two instances, as two systemd units run them."""
    async with AsyncExitStack() as stack:
        made = []
        for number in range(2):
            port = free_port()
            made.append(Auth1(environment | {"PORT": str(port)}, tmp_path / f"log{number}"))
        for instance in made:
            await stack.enter_async_context(instance)
        yield made


async def restart(instance: Auth1) -> None:
    """Stop an instance as systemd does, start it again, and wait until it is ready."""
    instance.process.terminate()
    await instance.client.aclose()
    assert await instance.exit_code() == 0
    instance.spawn()
    await until(instance.answers)
    await until(lambda: ready(instance))


async def ready(instance: Auth1) -> bool:
    """Return whether an instance accepts requests."""
    return await instance.status("/health/ready") == 200


async def test_rolling_restart_under_load_fails_no_request(instances: list[Auth1], tmp_path: Path) -> None:
    tenants = [await instances[0].tenant() for _ in range(CLIENTS)]
    folder = tmp_path / "nginx"
    folder.mkdir()
    with running(folder, *(instance.port for instance in instances)) as proxy:
        load = Load(proxy, tenants)
        load.start()
        try:
            for instance in instances * ROUNDS:
                await asyncio.sleep(0.5)
                await restart(instance)
            await asyncio.sleep(0.5)
        finally:
            await asyncio.to_thread(load.stop)
        print("requests:", dict(load.statuses))  # shown with -s: the figure of the docs
        lines = proxy.access_lines(load.statuses.total())
        assert [line for line in lines if line["status"] not in (200, 201)] == []
        assert set(load.statuses) == {200, 201}
        assert load.statuses.total() > 100
        tried = {address for line in lines for address in line["upstream"].split(", ")}
        assert tried == {f"127.0.0.1:{instance.port}" for instance in instances}
        assert any(line["upstream_status"].startswith("502, ") for line in lines), "no request met a stopped instance"


async def test_request_of_a_killed_instance_is_repeated_and_sends_one_message(
    instances: list[Auth1], twilio_server: TwilioServer, phone: str, tmp_path: Path
) -> None:
    tenant = await instances[0].tenant()
    folder = tmp_path / "nginx"
    folder.mkdir()

    async def kill_sender(request: Request, writer: asyncio.StreamWriter) -> None:
        """Accept the message, and kill the instance before it receives the response."""
        os.killpg(instances[0].process.pid, signal.SIGKILL)
        writer.close()

    twilio_server.script.append(kill_sender)
    ports = [instance.port for instance in instances]
    with running(folder, *ports) as proxy:
        headers = {"x-api-key": tenant["api_key"], "content-type": "application/json"}
        body = json.dumps({"phone": phone}).encode()
        status, _, answer = await asyncio.to_thread(proxy.send, "/api/auth/request", "POST", headers, body)
        (line,) = proxy.access_lines(1)
    assert line["upstream"] == ", ".join(f"127.0.0.1:{port}" for port in ports)  # the first one was killed
    assert (status, json.loads(answer)["code"]) == (
        429,
        "resend_too_soon",
    )  # the repeated request found the first one's
    assert len(twilio_server.sent_to(phone)) == 1
