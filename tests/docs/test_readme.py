"""Run the snippets of README.md on `auth1 dev`."""

import asyncio
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.browser.chromium import Chromium
from tests.browser.conftest import BROWSER, browser
from tests.cli.test_dev import paste, printed_curls
from tests.inbox.conftest import Dev, dev
from tests.support.providers.twilio import TwilioServer, answer

__all__ = ["browser", "dev"]

README = (Path(__file__).parents[2] / "README.md").read_text()
CODE = "000000"  # of test keys


def snippet(language: str, marker: str = "") -> str:
    """Return a snippet of the README."""
    found = re.search(rf"{marker}```{language}\n(.*?)```", README, re.DOTALL)
    assert found is not None, language
    return found[1]


def adapt(text: str, dev: Dev, key: str) -> str:
    """Return a snippet with the address of `auth1 dev` and a key of its demo tenant."""
    for old, new in (("http://localhost:3000", dev.server.url), ("auth1_pk_myapp_...", key)):
        assert old in text
        text = text.replace(old, new)
    return text


@pytest.fixture
def test_key(dev: Dev) -> str:
    found = re.search(r"auth1_test_demo_\w+", dev.server.text())
    assert found is not None
    return found[0]


def test_readme_is_short() -> None:
    assert len(README.splitlines()) <= 120


async def test_curl_commands_return_the_printed_responses(dev: Dev) -> None:
    text = snippet("sh", "<!-- curl -->\n")
    printed = [msgspec.json.decode(line, type=dict[str, Any]) for line in re.findall(r"^# (.+)$", text, re.MULTILINE)]
    ask, verify = printed_curls(adapt(text, dev, dev.key))

    responses = [paste(ask)]
    code = re.search(r"code is: (\d{6})", (await dev.messages())[0]["text"])
    assert code is not None
    responses.append(paste(verify.replace("482913", code[1])))

    assert [list(response) for response in responses] == [list(fields) for fields in printed]
    for response, fields in zip(responses, printed, strict=True):
        fixed = {name: value for name, value in fields.items() if "…" not in str(value)}
        assert response | fixed == response


async def test_python_snippet_logs_in(dev: Dev, test_key: str) -> None:
    scope: dict[str, Any] = {"input": lambda _: CODE}

    await asyncio.to_thread(exec, adapt(snippet("python"), dev, test_key), scope)

    assert scope["login"]["verified"] is True
    scope["auth1"].close()


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed here")
async def test_javascript_snippet_logs_in(browser: Chromium, dev: Dev, test_key: str) -> None:
    program = f"window.prompt = () => '{CODE}';\n{adapt(snippet('js'), dev, test_key)}; token"
    async with TwilioServer(behaviour=answer(200, b"A page of another origin.")) as app, browser.page() as page:
        await page.open(app.url)
        found = await page.call("Runtime.evaluate", expression=program, replMode=True, awaitPromise=True)

    assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+", found["result"]["value"])
