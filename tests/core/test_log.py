"""Log lines: JSON or text, and a separate switch for events."""

import json
import logging
import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client import REGISTRY

from auth1.core.telemetry.log import LibraryFormatter, Log
from auth1.core.telemetry.log_text import TextFormat


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "stdout"


def log_to(path: Path, level: str = "info", **options: Any) -> Log:
    return Log(level, os.open(path, os.O_WRONLY | os.O_CREAT), **options)


def lines_dropped() -> float:
    return REGISTRY.get_sample_value("auth1_log_lines_dropped_total") or 0.0


@pytest.mark.parametrize(("events", "lines"), [(True, 1), (False, 0)])
def test_events_have_their_own_switch(path: Path, events: bool, lines: int) -> None:
    log = log_to(path, "error", events=events)
    log.info("request")
    log.event(type="tenant.created", subject="tn_1")
    log.close()

    written = [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]
    assert [line["type"] for line in written] == ["tenant.created"] * lines


def test_text_lines_are_readable(path: Path) -> None:
    log = log_to(path, format="text")
    log.info("request", request_id="req_1", method="POST", route="/api/auth/request", status=200, duration_ms=12.3)
    log.warn("Redis is unavailable", reason="no answer", attempts=2)
    log.event(type="challenge.opened", subject="ch_1", actor="key_1", data={}, event_id="evt_1", request_id="req_1")
    log.close()

    lines = [re.sub(r"^\d\d:\d\d:\d\d ", "", line) for line in path.read_text().splitlines()]
    assert lines == [
        "info  200 POST /api/auth/request 12.3 ms",
        'warn  Redis is unavailable  reason="no answer"  attempts=2',
        "info  challenge.opened ch_1  actor=key_1",
    ]


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_log_values_cannot_inject_lines(path: Path, log_format: Any) -> None:
    log = log_to(path, format=log_format)
    log.info("request\nforged", route="a\r\nb\x1b[2J", status="x\u2028y")
    log.close()

    assert len(path.read_text().split("\n")) == 2
    assert "\x1b" not in path.read_text()


def test_codes_and_links_of_messages_are_bold_on_a_terminal() -> None:
    text = TextFormat(color=True).message("+15551234567", "Your code is: 482913.\nhttps://a.example/l/x?y=1 now")

    assert re.findall(r"\033\[1m(.*?)\033\[0m", text) == ["482913", "https://a.example/l/x?y=1"]


def test_colors_are_for_terminals_only(path: Path) -> None:
    log = log_to(path, format="text")
    log.message("ann@example.com", "Your code is: 482913")
    log.error("failed")
    log.close()

    assert "\x1b" not in path.read_text()
    assert "message to ann@example.com" in path.read_text()


@pytest.mark.parametrize(
    ("log_format", "pattern"),
    [
        ("json", r'\{"ts":"[^"]+Z","level":"warn","msg":"Worker 1 stopped","logger":"_granian"\}'),
        ("text", r"\d\d:\d\d:\d\d warn  Worker 1 stopped  logger=_granian"),
    ],
)
def test_lines_of_libraries_have_the_log_format(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, log_format: Any, pattern: str
) -> None:
    with (tmp_path / "stdout").open("w") as stdout:
        monkeypatch.setattr("sys.stdout", stdout)
        formatter = LibraryFormatter(log_format)

    record = logging.LogRecord("_granian", logging.WARNING, __file__, 1, "Worker %d stopped", (1,), None)

    assert re.fullmatch(pattern, formatter.format(record))


def test_lines_keep_their_order_and_the_time_of_the_call(path: Path) -> None:
    log = log_to(path)
    before = datetime.now(UTC)
    for number in range(500):
        log.info("request", number=number)
        log.message("ann@example.com", str(number))
    log.close()

    written = [line for line in path.read_text().splitlines() if line]
    assert [json.loads(line)["number"] for line in written[::2]] == list(range(500))
    times = [datetime.fromisoformat(json.loads(line)["ts"]) for line in written[::2]]
    assert times == sorted(times)
    assert timedelta(milliseconds=-1) <= times[0] - before < timedelta(seconds=5)


def test_line_that_cannot_be_encoded_does_not_stop_the_next_one(path: Path) -> None:
    log = log_to(path)
    log.info("bad", value="\ud800")
    log.info("good")
    log.close()

    written = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["msg"], line.get("line")) for line in written] == [("log line failed", "bad"), ("good", None)]


def test_full_queue_drops_lines_and_counts_them(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dropped = lines_dropped()
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with os.fdopen(reader, "rb") as pipe:
        log = Log("info", writer)
        for _ in range(12_000):
            log.info("request", filler="x" * 100)
        assert lines_dropped() > dropped
        log.close(0.0)
        assert pipe.read(10) == b'{"ts":"202'
