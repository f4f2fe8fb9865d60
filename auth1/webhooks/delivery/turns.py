"""Send concurrent calls in order, although they use several connections."""

import asyncio


class Turn:
    """The turn of a call: it is sent after all earlier calls were sent or have ended."""

    def __init__(self, earlier: "list[Turn]") -> None:
        self._earlier = [turn for turn in earlier if not turn.has_ended]
        self._ended = asyncio.Event()

    @property
    def has_ended(self) -> bool:
        """Return whether the call was sent or has ended."""
        return self._ended.is_set()

    async def wait(self) -> None:
        """Wait for all earlier calls. The caller then sends its own call before it awaits anything else."""
        for turn in self._earlier:
            await turn._ended.wait()
        self.end()

    def end(self) -> None:
        """Let later calls be sent."""
        self._earlier.clear()
        self._ended.set()
