"""Headless Chromium, driven through the DevTools protocol on a pipe."""

import asyncio
import itertools
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Self

# The headless shell is the same engine without the windows of a desktop, which take most of the time of a new page.
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --disable-dev-shm-usage --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync --disable-extensions "
    "--window-size=800,600 --remote-debugging-pipe"
).split()
ANSWER_S = 300.0  # generous: nothing here measures the machine
# The browser reads commands from descriptor 3 and writes answers to 4.
_LAUNCH = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3]]
for number, end in enumerate(ends, start=3):
    os.dup2(end, number)
os.execv(sys.argv[3], sys.argv[3:])
"""


def find() -> str | None:
    """Return the path of an installed Chromium browser."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Chromium:
    """A browser process, started with `async with` and removed with its profile."""

    def __init__(self, path: str, profile: Path) -> None:
        self._path = path
        self._profile = profile
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._pages: dict[str, Page] = {}

    async def __aenter__(self) -> Self:
        theirs_in, self._out = os.pipe()
        ours_in, theirs_out = os.pipe()
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", "-c", _LAUNCH, str(theirs_in), str(theirs_out)),
            *(self._path, *FLAGS, f"--user-data-dir={self._profile}", "about:blank"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            pass_fds=(theirs_in, theirs_out),
            process_group=0,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        reader = asyncio.StreamReader(limit=64 * 1024 * 1024)
        self._pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(ours_in, "rb", buffering=0)
        )
        self._listening = asyncio.create_task(self._listen(reader))
        return self

    async def __aexit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)
        self._pipe.close()
        os.close(self._out)

    async def call(self, method: str, session: str | None = None, **parameters: object) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        number = next(self._ids)
        command = {"id": number, "method": method, "params": parameters} | ({"sessionId": session} if session else {})
        waiting = self._answers[number] = asyncio.get_running_loop().create_future()
        os.write(self._out, json.dumps(command).encode() + b"\0")
        try:
            answer = await asyncio.wait_for(waiting, ANSWER_S)
        finally:
            del self._answers[number]
        assert "error" not in answer, f"{method}: {answer.get('error')}"
        result: dict[str, Any] = answer["result"]
        return result

    @asynccontextmanager
    async def page(
        self, *, scripts: bool = True, dark: bool = False, beside: "Page | None" = None
    ) -> AsyncIterator["Page"]:
        """Open a page with these settings in a context of its own, or in that of `beside`."""
        context = beside.context if beside else (await self.call("Target.createBrowserContext"))["browserContextId"]
        target = (await self.call("Target.createTarget", url="about:blank", browserContextId=context))["targetId"]
        session = (await self.call("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        page = self._pages[session] = Page(self, session, context)
        for domain in ("Page", "Runtime", "Log", "Network"):
            await page.call(f"{domain}.enable")
        await page.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        await page.set_scheme(dark=dark)
        try:
            yield page
        finally:
            del self._pages[session]
            if beside is None:
                await self.call("Target.disposeBrowserContext", browserContextId=context)

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        while True:
            message = json.loads((await reader.readuntil(b"\0"))[:-1])
            waiting = self._answers.get(message.get("id", 0))
            if waiting is not None and not waiting.done():
                waiting.set_result(message)
            elif (page := self._pages.get(message.get("sessionId", ""))) is not None:
                page.take(message["method"], message["params"])


class Page:
    """One page with its requests and its console errors."""

    def __init__(self, browser: Chromium, session: str, context: str) -> None:
        self._browser = browser
        self._session = session
        self.context = context
        self._loads = 0
        self._loaded = asyncio.Event()
        self.complaints: list[str] = []
        self.requests: list[str] = []

    async def call(self, method: str, **parameters: object) -> dict[str, Any]:
        return await self._browser.call(method, self._session, **parameters)

    def take(self, event: str, parameters: dict[str, Any]) -> None:
        """Handle an event of the protocol."""
        if event == "Log.entryAdded":
            self.complaints.append(parameters["entry"]["text"])
        elif event == "Runtime.consoleAPICalled":
            self.complaints.append(str(parameters["args"]))
        elif event == "Runtime.exceptionThrown":
            self.complaints.append(parameters["exceptionDetails"]["text"])
        elif event == "Network.requestWillBeSent":
            self.requests.append(f"{parameters['request']['method']} {parameters['request']['url']}")
        elif event == "Page.loadEventFired":
            self._loaded.set()

    async def open(self, url: str) -> None:
        """Open an address and wait until it is shown."""
        self._loaded.clear()
        await self.call("Page.navigate", url=url)
        await asyncio.wait_for(self._loaded.wait(), ANSWER_S)

    async def show(self, html: str) -> None:
        """Replace the document, without the new process that each opened address costs."""
        frame = (await self.call("Page.getFrameTree"))["frameTree"]["frame"]["id"]
        self._loaded.clear()
        await self.call("Page.setDocumentContent", frameId=frame, html=html)
        await asyncio.wait_for(self._loaded.wait(), ANSWER_S)

    async def set_scheme(self, *, dark: bool) -> None:
        """Prefer dark or light colours from now on."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])

    async def set_width(self, width: int, *, mobile: bool = False) -> None:
        """Resize the page; a mobile one obeys its viewport element."""
        size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": mobile}
        await self.call("Emulation.setDeviceMetricsOverride", **size)

    async def press_tab_and_enter(self) -> None:
        """Focus the first control, press it by keyboard, and wait for the next page."""
        self._loaded.clear()
        tab = {"key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9}
        enter = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}
        for key in (tab, enter):
            await self.call("Input.dispatchKeyEvent", type="keyDown", **key)
            await self.call("Input.dispatchKeyEvent", type="keyUp", **{**key, "text": ""})
        await asyncio.wait_for(self._loaded.wait(), ANSWER_S)

    async def type_and_enter(self, text: str, *, replace: bool = False) -> None:
        """Type into the focused field, press Enter, and wait for the next page."""
        await self.until("document.activeElement.matches('input')")  # Chromium focuses it after the page is loaded
        self._loaded.clear()
        if replace:
            await self.evaluate("document.activeElement.select()")
        await self.call("Input.insertText", text=text)
        enter = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13}
        await self.call("Input.dispatchKeyEvent", type="keyDown", text="\r", **enter)
        await self.call("Input.dispatchKeyEvent", type="keyUp", **enter)
        await asyncio.wait_for(self._loaded.wait(), ANSWER_S)

    async def until(self, condition: str) -> None:
        """Wait until an expression is true, over any number of pages."""
        async with asyncio.timeout(ANSWER_S):
            while True:
                with suppress(AssertionError):  # a page that is being left evaluates nothing
                    if await self.evaluate(condition):
                        return
                await asyncio.sleep(0.05)

    async def evaluate(self, expression: str) -> Any:
        """Evaluate an expression in the page."""
        return (await self.call("Runtime.evaluate", expression=expression, returnByValue=True))["result"].get("value")

    async def roles(self) -> list[tuple[str, str]]:
        """Return the accessibility tree: role and name."""
        nodes = (await self.call("Accessibility.getFullAXTree"))["nodes"]
        return [
            (node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if not node.get("ignored")
        ]
