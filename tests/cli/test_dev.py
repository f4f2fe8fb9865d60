"""`auth1 dev`: a complete Auth1 on a machine without servers."""

import asyncio
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import msgspec
import pytest

from auth1.dev.postgres import PostgresServer
from auth1.dev.processes import children, is_locked
from auth1.dev.redis import RedisServer
from tests.support.process import Auth1, until

SERVERS = ("postgres", "redis")


def start(directory: Path, log: Path, **environment: str) -> Auth1:
    return Auth1({"HOME": str(directory.parent), **environment}, log, arguments=("dev", "--data", str(directory)))


def printed_curls(text: str) -> list[str]:
    """Return the printed curl commands."""
    return re.findall(r"^curl (?:.*\\\n)*.*$", text, re.MULTILINE)


def admin_token(text: str) -> str:
    found = re.search(r"^export ADMIN_TOKEN=(\S+)$", text, re.MULTILINE)
    assert found is not None
    return found[1]


def paste(command: str, **environment: str) -> dict[str, object]:
    """Run a curl command in a shell; without curl, send its request."""
    if shutil.which("curl"):
        names = {"PATH": os.environ["PATH"], "no_proxy": "*", **environment}
        ended = subprocess.run(["sh", "-c", f"{command} -sS"], env=names, capture_output=True, text=True, timeout=300)
        assert ended.returncode == 0, ended.stderr
        return msgspec.json.decode(ended.stdout, type=dict[str, object])
    for name, value in environment.items():
        command = command.replace(f"${name}", value)
    _, _, method, url, *options = shlex.split(command.replace("\\\n", ""))  # curl -X POST URL, pairs of -H and -d
    pairs = list(zip(options[::2], options[1::2], strict=True))
    headers = dict(value.split(": ", 1) for name, value in pairs if name == "-H")
    body = dict(pairs)["-d"]
    raw = httpx.request(method, url, headers=headers, content=body, trust_env=False, timeout=300).content
    return msgspec.json.decode(raw, type=dict[str, object])


async def last_code(server: Auth1, to: str = "+15551234567") -> str:
    """Return the code that the terminal shows, of an SMS or an email."""

    def shown() -> list[str]:
        return re.findall(rf"message to {re.escape(to)}: [^{{}}]*?(?: code is: |\n *)(\d{{6}})\b", server.text())

    await until(lambda: bool(shown()), explain=server.text)
    return shown()[-1]


def all_processes(server: Auth1) -> list[int]:
    """Return the program and all its descendants."""
    pids = [server.process.pid]
    for pid in pids:
        pids += children(pid)
    return pids


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def shell_variables(directory: Path) -> dict[str, str]:
    """Return the variables of a shell that has read the file of `auth1 dev`."""
    command = f". {shlex.quote(str(directory / 'env'))}; env -0"
    pairs = subprocess.check_output(["sh", "-c", command], env={"PATH": os.environ["PATH"]}, text=True).split("\0")
    shell = {"PATH", "PWD", "OLDPWD", "SHLVL", "_"}  # the shell sets these by itself
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs if pair) if name not in shell}


def is_private(path: Path) -> bool:
    """Return whether only the owner can read the file."""
    return path.stat().st_mode & 0o077 == 0


async def interrupt(server: Auth1) -> None:
    """Interrupt the whole process group, as Ctrl-C does."""
    os.killpg(server.process.pid, signal.SIGINT)
    assert await server.exit_code() == 0
    assert "Traceback" not in server.text()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def logs(tmp_path: Path) -> Callable[[], Path]:
    numbers = iter(range(9))
    return lambda: tmp_path / f"log{next(numbers)}"


async def test_printed_commands_log_a_user_in_and_create_a_tenant(directory: Path, logs: Callable[[], Path]) -> None:
    async with start(directory, logs()) as server:
        ask, answer, make = printed_curls(server.text())

        requested = paste(ask)
        assert (requested["status"], requested["channel"]) == ("sent", "sms")
        verified = paste(answer.replace("THE CODE", await last_code(server)))
        assert (verified["verified"], verified["token_type"], verified["is_new_user"]) == (True, "Bearer", True)

        by_mail = [curl.replace('"phone": "+15551234567"', '"email": "ann@example.com"') for curl in (ask, answer)]
        assert paste(by_mail[0])["channel"] == "email"
        assert paste(by_mail[1].replace("THE CODE", await last_code(server, "ann@example.com")))["verified"] is True
        assert (
            (await server.client.get("/.well-known/openid-configuration")).json()["issuer"].endswith(str(server.port))
        )

        made = paste(make, ADMIN_TOKEN=admin_token(server.text()))
        assert made["slug"] == "myapp"
        for kind in ("sk", "test"):
            [key] = set(re.findall(rf"auth1_{kind}_demo_\w+", server.text()))
            zeros = answer.replace(re.findall(r"auth1_pk_\w+", answer)[0], key).replace("THE CODE", "000000")
            assert paste(zeros)["code"] == "no_active_challenge"  # the key holds
        await interrupt(server)


async def test_ctrl_c_stops_all_processes(directory: Path, logs: Callable[[], Path]) -> None:
    async with start(directory, logs()) as server:
        pids = all_processes(server)
        assert len(pids) > 4  # itself, a worker, Redis, PostgreSQL with its children
        assert all(is_locked(directory / name / "server.lock") for name in SERVERS)
        assert is_private(directory)
        assert is_private(directory / "dev.json")
        assert is_private(directory / "env")

        await interrupt(server)

        await until(lambda: not any(runs(pid) for pid in pids), explain=lambda: f"of {pids} some still run")
        assert not any(is_locked(directory / name / "server.lock") for name in SERVERS)


async def test_second_start_keeps_data_and_keys(directory: Path, logs: Callable[[], Path]) -> None:
    async with start(directory, logs()) as server:
        first_curls, token = printed_curls(server.text()), admin_token(server.text())
        paste(first_curls[0])
        user = (paste(first_curls[1].replace("THE CODE", await last_code(server))))["user_id"]
        await interrupt(server)

    # The shell of the second start knows the servers of the first one, which have stopped.
    variables = shell_variables(directory)
    assert {"DATABASE_URL", "REDIS_URL"} < variables.keys()
    async with start(directory, logs(), **variables | {"PORT": str(server.port)}) as again:
        curls = printed_curls(again.text())
        assert (curls, admin_token(again.text())) == (first_curls, token)
        paste(curls[0])
        verified = paste(curls[1].replace("THE CODE", await last_code(again)))
        assert (verified["user_id"], verified["is_new_user"]) == (user, False)
        await interrupt(again)


async def test_printed_command_lists_tenants_in_another_shell(directory: Path, logs: Callable[[], Path]) -> None:
    async with start(directory, logs()) as server:
        [command] = re.findall(r"other commands +(.+)", server.text())
        command = command.replace(".venv/bin/auth1", shlex.join([sys.executable, "-m", "auth1"]))

        listed = await asyncio.to_thread(subprocess.check_output, ["sh", "-c", command], env={}, text=True)

        assert re.fullmatch(r"tn_\w+  demo +active +Demo\n", listed)
        assert shell_variables(directory)["APP_URL"] == f"http://localhost:{server.port}"
        [client_id] = re.findall(r"client id +(\S+)", server.text())
        options = f"{client_id} --tenant demo --backchannel-logout-uri http://localhost:8090/backchannel-logout"
        change = command.replace("tenants list", f"apps update {options} --json")
        changed = await asyncio.to_thread(subprocess.check_output, ["sh", "-c", change], env={}, text=True)
        assert msgspec.json.decode(changed)["backchannel_logout_uri"] == "http://localhost:8090/backchannel-logout"
        await interrupt(server)


async def test_webhook_of_the_same_machine_is_accepted(directory: Path, logs: Callable[[], Path]) -> None:
    async with start(directory, logs()) as server:
        [key] = set(re.findall(r"auth1_sk_demo_\w+", server.text()))
        webhook = {"url": "http://localhost:8081/webhooks", "events": ["*"]}
        made = await server.client.post("/api/tenant/webhooks", json=webhook, headers={"x-api-key": key})

        assert (made.status_code, made.json().get("url")) == (201, webhook["url"])
        await interrupt(server)


async def test_start_after_kill_9_succeeds(directory: Path, logs: Callable[[], Path]) -> None:
    async with start(directory, logs()) as server:
        pids = all_processes(server)
        server.process.kill()
        await server.exit_code()
        server.end()
        # The servers end with the program, however it ends.
        await until(lambda: not any(runs(pid) for pid in pids), explain=lambda: f"of {pids} some still run")

    async with start(directory, logs(), PORT=str(server.port)) as again:
        ask, answer, _ = printed_curls(again.text())
        paste(ask)
        assert (paste(answer.replace("THE CODE", await last_code(again))))["verified"] is True
        await interrupt(again)


async def test_configured_servers_are_used(
    directory: Path, logs: Callable[[], Path], database_url: str, redis_server: RedisServer
) -> None:
    # Other tests have used this Redis, and all come from one address.
    given = {"DATABASE_URL": database_url, "REDIS_URL": redis_server.url(), "RATE_LIMIT_MAX": "1000000"}

    async with start(directory, logs(), **given) as server:
        assert sorted(os.listdir(directory)) == ["dev.json", "env"]
        ask, answer, _ = printed_curls(server.text())
        paste(ask)
        assert (paste(answer.replace("THE CODE", await last_code(server))))["verified"] is True
        await interrupt(server)


async def test_directory_in_use_is_reported_in_one_line(directory: Path, logs: Callable[[], Path]) -> None:
    with PostgresServer(directory / "postgres", durable=False) as running:
        log = logs()
        second = start(directory, log)
        second.spawn()
        try:
            assert await second.exit_code() == 1
            progress, line = log.read_text().splitlines()
            assert progress == "Starting PostgreSQL …"
            assert line.startswith("auth1: PostgreSQL already runs in ")
            assert str(running.pid) in line
        finally:
            second.end()
            await second.client.aclose()
