"""Tasks that run in the background."""

import asyncio
from collections.abc import Collection

CANCEL_AGAIN_S = 1.0


async def cancel_all(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancel tasks until they have ended. `asyncio.wait_for` of Python 3.11 can lose a cancellation (cpython#86296)."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_AGAIN_S)
    await asyncio.gather(*tasks, return_exceptions=True)
