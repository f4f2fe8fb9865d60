"""Run the server of docs/hooks.md as the hooks of a tenant."""

import re
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import asyncpg
import jwt
import pytest

from auth1.hooks.config import NAMES
from tests.conftest import Started, new_phone
from tests.hooks.user import HookServer, HookUser, outcome
from tests.support.api_client import ApiClient
from tests.support.providers.twilio import TwilioServer

PAGE = Path(__file__).parents[2] / "docs" / "hooks.md"
SNIPPETS = dict(re.findall(r"<!-- run ([\w.]+) -->\n```\w+\n(.*?)```\n", PAGE.read_text(), re.DOTALL))


@pytest.fixture(scope="module")
def server_url() -> Iterator[str]:
    """Run the snippet's server in a thread."""
    names: dict[str, Any] = {"__name__": "hooks"}
    exec(compile(SNIPPETS["hooks.py"], "hooks.py", "exec"), names)  # the documentation's own text
    server = ThreadingHTTPServer(("127.0.0.1", 0), names["Handler"])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
async def api(start_app: Started) -> ApiClient:
    return await start_app(WEBHOOK_ALLOWED_NETWORKS="127.0.0.0/8")


@pytest.fixture
async def user(
    api: ApiClient,
    twilio_server: TwilioServer,
    database_url: str,
    server_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[HookUser]:
    """Return a user of a tenant with all hooks of the page."""
    database = await asyncpg.connect(database_url)
    user = HookUser([api], await api.tenant(), twilio_server, HookServer(), database, phone=new_phone())
    for hook in NAMES:
        response = await user.call_tenant("PUT", f"/hooks/{hook}", {"url": f"{server_url}/{hook}", "on_error": "deny"})
        monkeypatch.setenv(f"{hook.upper()}_SECRET", response.json()["secret"])
    yield user
    await database.close()


async def test_server_of_the_page_decides_all_hooks(user: HookUser) -> None:
    foreign = await user.request(user.tenant["secret_key"], phone="+447700900123")
    tokens = await user.log_in()
    refreshed = (await user.refresh(tokens)).json()

    assert outcome(foreign) == (403, "hook_denied")
    assert foreign.json()["detail"] == "We send codes to the US and Canada only."
    for token in (tokens["token"], refreshed["token"]):
        assert jwt.decode(token, options={"verify_signature": False})["role"] == "member"


async def test_server_of_the_page_rejects_calls_of_others(user: HookUser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEFORE_SEND_SECRET", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDh1MWXDJ7Xxs=")

    assert outcome(await user.request()) == (403, "hook_denied")


def test_page_shows_each_hook() -> None:
    table = re.findall(r"^\| `(before_\w+)` \| ", PAGE.read_text(), re.MULTILINE)
    assert sorted(set(table)) == sorted(NAMES)
