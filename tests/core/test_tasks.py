"""Background tasks end, whatever they do with a cancellation."""

import asyncio

from auth1.core.processes.tasks import cancel_all


async def test_task_that_loses_a_cancellation_is_cancelled_again() -> None:
    lost = 0

    async def run() -> None:
        nonlocal lost
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                if lost == 1:
                    raise
                lost += 1

    async def fail() -> None:
        raise ValueError

    tasks = [asyncio.create_task(run()), asyncio.create_task(fail())]
    await asyncio.sleep(0)

    await cancel_all(tasks)

    assert lost == 1
    assert [task.cancelled() for task in tasks] == [True, False]


async def test_no_tasks_are_cancelled() -> None:
    await cancel_all([])
