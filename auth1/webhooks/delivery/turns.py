"""The order in which calls leave, which run at once over several connections."""

import asyncio


class Turn:
    """The place of a call: it leaves after all earlier ones have left or ended."""

    def __init__(self, earlier: "list[Turn]") -> None:
        self._earlier = [turn for turn in earlier if not turn.has_ended]
        self._left = asyncio.Event()

    @property
    def has_ended(self) -> bool:
        """Return whether the call has left or ended."""
        return self._left.is_set()

    async def leave(self) -> None:
        """Wait for all earlier calls. The caller sends its own before it waits for anything else."""
        for turn in self._earlier:
            await turn._left.wait()
        self.end()

    def end(self) -> None:
        """Let later calls be sent."""
        self._earlier.clear()
        self._left.set()
