"""Run the snippets of docs/webhooks.md with a signed message and with changed ones."""

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from auth1.core.outbound.guarded import CALL_ERRORS
from auth1.core.standard_webhooks import format_secret, sign
from auth1.webhooks.delivery import attempts
from auth1.webhooks.delivery.schedule import RETRY_DELAYS_S

PAGE = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text()
SNIPPETS = dict(re.findall(r"<!-- run ([\w.]+) -->\n```\w+\n(.*?)```\n", PAGE, re.DOTALL))
NODE = shutil.which("node")
BODY = b'{"type":"user.created","data":{"name":"\xc3\xa9"}}'
SECRET, OTHER = bytes(range(32)), bytes(range(1, 33))

PYTHON = """
import json, sys
print(json.dumps([read_event(body.encode(), headers, secret) for body, headers, secret in json.load(sys.stdin)]))
"""
JAVASCRIPT = """
const cases = JSON.parse(await new Response(process.stdin).text());
console.log(JSON.stringify(cases.map(([body, headers, secret]) => readEvent(Buffer.from(body), headers, secret))));
"""


def cases() -> list[tuple[bool, str, dict[str, str], str]]:
    """Return messages: whether they are valid, then body, headers and secret."""
    now, secret = int(time.time()), format_secret(SECRET)
    headers = sign([SECRET], "evt_1", now, BODY)
    body = BODY.decode()
    return [
        (True, body, headers, secret),
        (True, body, sign([OTHER, SECRET], "evt_1", now, BODY), secret),
        (False, body + " ", headers, secret),
        (False, body[:-1], headers, secret),
        (False, body, headers | {"webhook-id": "evt_2"}, secret),
        (False, body, headers | {"webhook-timestamp": str(now - 1)}, secret),
        (False, body, sign([SECRET], "evt_1", now - 3600, BODY), secret),
        (False, body, headers | {"webhook-timestamp": "x"}, secret),
        (False, body, headers | {"webhook-signature": headers["webhook-signature"].replace("v1,", "v2,")}, secret),
        (False, body, headers | {"webhook-signature": "v1,"}, secret),
        (False, body, headers, format_secret(OTHER)),
    ]


@pytest.mark.parametrize("name", sorted(SNIPPETS))
def test_snippet_accepts_signed_messages_only(name: str, tmp_path: Path) -> None:
    program = sys.executable if name.endswith(".py") else NODE
    if program is None:
        pytest.skip("node is not installed")
    file = tmp_path / name
    file.write_text(SNIPPETS[name] + (PYTHON if name.endswith(".py") else JAVASCRIPT))

    done = subprocess.run(
        [program, str(file)],
        input=json.dumps([case[1:] for case in cases()]),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )

    assert done.returncode == 0, done.stderr
    found: list[Any] = json.loads(done.stdout)
    assert found == [json.loads(BODY) if is_valid else None for is_valid, *_ in cases()]


def test_page_lists_every_error() -> None:
    section = PAGE.partition("| `error` |")[2].partition("## ")[0]
    listed = set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))

    assert listed == {*CALL_ERRORS, attempts.BAD_STATUS, attempts.EVENT_PURGED, attempts.NO_SECRET}


def test_page_states_the_schedule() -> None:
    assert [round(delay_s) for delay_s in RETRY_DELAYS_S] == [
        *(5, 5 * 60, 30 * 60),
        *(hours * 3600 for hours in (2, 5, 10, 14, 20, 24)),
    ]
    assert "5 s, 5 min, 30 min, and 2, 5, 10, 14, 20 and 24 hours" in PAGE
