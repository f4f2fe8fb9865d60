"""`auth1 dev` on a terminal, and a page that shows what the terminal shows."""

import asyncio
import fcntl
import os
import pty
import re
import struct
import termios
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from html import escape
from pathlib import Path

from tests.support.process import Auth1

COLUMNS, ROWS = 100, 40
COMMAND = ".venv/bin/auth1 dev"
_STYLES = {"1": "b", "2": "d", "31": "r", "32": "g", "33": "y", "36": "c"}
_PAGE = """<!doctype html><meta charset="utf-8"><style>
body{{margin:0;background:#0d1117;color:#e6edf3}}
pre{{margin:0;padding:16px 20px;width:{columns}ch;font:13px/18px "DejaVu Sans Mono",monospace;white-space:pre-wrap;
word-break:break-all}}
.b{{font-weight:700;color:#fff}}.d{{color:#8b949e}}.r{{color:#ff7b72}}.g{{color:#7ee787}}.y{{color:#e3b341}}.c{{color:#76e3ea}}
</style><pre>{text}</pre>"""


@asynccontextmanager
async def dev_on_terminal(environment: Mapping[str, str], directory: Path) -> AsyncIterator[Auth1]:
    """Run `auth1 dev` on a terminal; its log file receives what it prints."""
    log = directory / "terminal"
    terminal, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    names = {"TERM": "xterm-256color", **environment}
    auth1 = Auth1(names, log, arguments=("dev", "--data", str(directory / ".auth1")), stdout=end)
    loop = asyncio.get_running_loop()
    with log.open("ab", buffering=0) as file:
        loop.add_reader(terminal, _copy, terminal, file.fileno())
        try:
            async with auth1:
                yield auth1
        finally:
            loop.remove_reader(terminal)
            os.close(terminal)
            os.close(end)


def plain(text: str) -> str:
    """Return the text of a terminal without its colours."""
    return re.sub(r"\x1b\[\d+m", "", text)


def page(text: str) -> str:
    """Return a page with the text of a terminal, its colours included."""
    text = f"$ {COMMAND}\n{text}".replace("\r\n", "\n")
    parts = re.split(r"\x1b\[(\d+)m", text)
    html = [escape(parts[0])]
    for code, part in zip(parts[1::2], parts[2::2], strict=True):
        style = _STYLES.get(code)
        html.append(f'<span class="{style}">{escape(part)}</span>' if style else escape(part))
    return _PAGE.format(columns=COLUMNS, text="".join(html).rstrip())


def _copy(terminal: int, file: int) -> None:
    with suppress(OSError):  # the program has ended
        os.write(file, os.read(terminal, 65536))
