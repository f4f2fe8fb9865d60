"""Outcomes of messages that could not be recorded: one that fails, or the end of the process, loses no other."""

import asyncio
from typing import cast

import pytest

from auth1.core.postgres import Postgres
from auth1.core.telemetry.log import Log
from auth1.errors import Unavailable
from auth1.events.log import EventContext
from auth1.messaging import store
from auth1.messaging.dispatcher import Messenger
from auth1.messaging.store import Delivery, RecordedDelivery


class Errors:
    """A log that keeps the messages of errors."""

    def __init__(self) -> None:
        self.message_ids: list[object] = []

    def error(self, text: str, **fields: object) -> None:
        self.message_ids.append(fields["message_id"])


class Recorder:
    """The statement that records an outcome. A test says which ones fail."""

    def __init__(self) -> None:
        self.recorded: list[str] = []
        self.failures: dict[str, Exception] = {}
        self.is_available = True
        self.hangs_at = ""

    async def __call__(self, postgres: object, delivery: Delivery) -> RecordedDelivery:
        if not self.is_available:
            raise Unavailable
        if delivery.message_id == self.hangs_at:
            await asyncio.Event().wait()
        if (failure := self.failures.get(delivery.message_id)) is not None:
            raise failure
        self.recorded.append(delivery.message_id)
        return RecordedDelivery([], None, None)


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(store, "record_delivery", recorder)
    return recorder


@pytest.fixture
def errors() -> Errors:
    return Errors()


@pytest.fixture
async def messenger(recorder: Recorder, errors: Errors) -> Messenger:
    """Return a messenger with three outcomes that could not be recorded yet."""
    messenger = Messenger(cast(Postgres, None), cast(Log, errors), {})
    recorder.is_available = False
    for number in (1, 2, 3):
        context = EventContext("auth1")
        await messenger.record(
            Delivery("tn_1", context, f"msg_{number}", "sent", "twilio", None, None, False, "evt_1", None)
        )
    recorder.is_available = True
    return messenger


async def test_outcome_that_cannot_be_recorded_loses_no_other(
    messenger: Messenger, recorder: Recorder, errors: Errors
) -> None:
    recorder.failures["msg_2"] = ValueError("a fault of one row")

    await messenger.flush_pending()
    await messenger.flush_pending()

    assert recorder.recorded == ["msg_1", "msg_3"]
    assert errors.message_ids == ["msg_2"]


async def test_outcomes_stay_pending_while_the_database_is_unavailable(
    messenger: Messenger, recorder: Recorder
) -> None:
    recorder.is_available = False
    await messenger.flush_pending()
    recorder.is_available = True

    await messenger.flush_pending()

    assert recorder.recorded == ["msg_1", "msg_2", "msg_3"]


async def test_cancelled_flush_keeps_the_other_outcomes(messenger: Messenger, recorder: Recorder) -> None:
    recorder.hangs_at = "msg_2"
    flush = asyncio.create_task(messenger.flush_pending())
    await asyncio.sleep(0)
    flush.cancel()
    await asyncio.gather(flush, return_exceptions=True)
    recorder.hangs_at = ""

    await messenger.flush_pending()

    assert recorder.recorded == ["msg_1", "msg_2", "msg_3"]
