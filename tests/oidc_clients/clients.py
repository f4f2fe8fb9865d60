"""The clients: how each is installed, started and registered."""

import asyncio
import os
import secrets
import shutil
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import httpx

from auth1.dev.processes import free_port

HERE = Path(__file__).parent
INSTALLED = Path(os.environ.get("AUTH1_OIDC_CLIENTS", HERE.parents[1] / ".clients"))
LOG = "client.log"  # in the directory of the client
START_S = 60.0
STOP_S = 20.0
NOT_READY = (404, 500, 502, 503)


class Client(NamedTuple):
    """A client as it is installed. `command` starts it; the others are its paths and what it can do."""

    name: str
    command: Callable[[Path, dict[str, str]], list[str]]
    needs: Path
    kind: str = "web"
    callback: str = "/callback"
    start: str = "/"
    logout: str = "/logout"
    refresh: str | None = "/refresh"  # filled with what the first page shows
    refreshed: str | None = None  # a line of its log, where no page shows the refresh
    comes_back: bool = True  # to /bye, after the logout
    uses_pkce: bool = True


def _node(script: str) -> Callable[[Path, dict[str, str]], list[str]]:
    return lambda *_: ["node", str(INSTALLED / "node" / f"{script}.mjs")]


def _python(script: str) -> Callable[[Path, dict[str, str]], list[str]]:
    return lambda *_: [str(INSTALLED / "venv/bin/python"), str(HERE / "python" / f"{script}.py")]


def _jupyterhub(_: Path, variables: dict[str, str]) -> list[str]:
    variables |= {"HUB_PORT": str(free_port()), "PROXY_PORT": str(free_port())}
    variables["JUPYTERHUB_CRYPT_KEY"] = secrets.token_hex(32)
    variables["PROXY"] = str(_MODULES / ".bin/configurable-http-proxy")
    return [str(INSTALLED / "venv/bin/jupyterhub"), "--config", str(HERE / "python/jupyterhub_config.py")]


def _apache(directory: Path, variables: dict[str, str]) -> list[str]:
    values = {name.lower(): value for name, value in variables.items()}
    values |= {"directory": str(directory), "site": str(HERE / "site"), "modules": str(APACHE_MODULES)}
    values["user"] = "User nobody\nGroup nogroup" if os.geteuid() == 0 else ""
    template = (HERE / "apache.conf").read_text()
    for name, value in values.items():
        template = template.replace(f"{{{name}}}", value)
    (directory / "apache.conf").write_text(template)
    return ["/usr/sbin/apache2", "-f", str(directory / "apache.conf"), "-D", "FOREGROUND"]


_MODULES = INSTALLED / "node/node_modules"
APACHE_MODULES = Path("/usr/lib/apache2/modules")
APACHE = Client(
    "mod_auth_openidc",
    _apache,
    APACHE_MODULES / "mod_auth_openidc.so",
    callback="/redirect_uri",
    logout="/redirect_uri?logout={url}/bye",
    refresh="/redirect_uri?refresh={url}/&access_token={access_token}",
)
CLIENTS = (
    Client("openid-client", _node("openid_client"), _MODULES / "openid-client"),
    Client("authlib", _python("authlib_flask"), INSTALLED / "venv/bin/flask"),
    APACHE,
    Client("express-openid-connect", _node("express_openid_connect"), _MODULES / "express-openid-connect"),
    Client(
        "passport-openidconnect",
        _node("passport_openidconnect"),
        _MODULES / "passport-openidconnect",
        refresh=None,
        uses_pkce=False,
    ),
    Client(
        "auth.js",
        _node("authjs"),
        _MODULES / "@auth/express",
        callback="/auth/callback/auth1",
        logout="",
        refresh=None,
    ),
    Client(
        "jupyterhub",
        _jupyterhub,
        INSTALLED / "venv/bin/jupyterhub",
        callback="/hub/oauth_callback",
        start="/hub/home",
        logout="/hub/logout",
        refresh="/hub/home",
        refreshed="access_token for {email} via refresh_token",
        comes_back=False,
    ),
)
# It runs in a browser with scripts; its server only serves files.
SINGLE_PAGE = Client("oidc-client-ts", _node("oidc_client_ts"), _MODULES / "oidc-client-ts", kind="spa")


@asynccontextmanager
async def running(client: Client, directory: Path, port: int, environment: dict[str, str]) -> AsyncIterator[str]:
    """Run a client, and return the address of its first page."""
    url = f"http://127.0.0.1:{port}"
    variables = {"PATH": os.environ["PATH"], "HOME": str(directory), "URL": url, "PORT": str(port), **environment}
    variables["APPLICATION"] = str(HERE / "spa/application.js")
    log = directory / LOG
    process = await _start(client, directory, log, variables)
    try:
        await _until_it_answers(url + client.start, process)
        yield url + client.start
    except BaseException as error:
        error.add_note(f"The log of {client.name}:\n{_text(log)}")
        raise
    finally:
        await _stop(process)


async def _start(client: Client, directory: Path, log: Path, variables: dict[str, str]) -> asyncio.subprocess.Process:
    """Start a client in a process group of its own."""
    with log.open("wb") as output:
        return await asyncio.create_subprocess_exec(
            *client.command(directory, variables),
            env=variables,
            cwd=directory,
            stdout=output,
            stderr=output,
            process_group=0,
        )


async def _stop(process: asyncio.subprocess.Process) -> None:
    """End a client: JupyterHub ends its proxy, which is not in its process group, only when it stops by itself."""
    with suppress(ProcessLookupError):
        process.terminate()
    with suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), STOP_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def _text(log: Path) -> str:
    return log.read_text(errors="replace")[-4000:]


async def _until_it_answers(url: str, process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(START_S), httpx.AsyncClient(trust_env=False, verify=False) as client:
        while True:
            assert process.returncode is None, "it has ended"
            try:
                if (await client.get(url)).status_code not in NOT_READY:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.1)


def copy_node_scripts() -> None:
    """Copy the scripts to their packages: Node looks for these beside a script."""
    for script in (HERE / "node").glob("*.mjs"):
        shutil.copy(script, INSTALLED / "node")


__all__ = [
    "APACHE",
    "CLIENTS",
    "INSTALLED",
    "LOG",
    "SINGLE_PAGE",
    "START_S",
    "Client",
    "copy_node_scripts",
    "free_port",
    "running",
]
