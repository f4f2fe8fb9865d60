"""Two instances of `auth1 serve`, which are started and replaced under load."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from bench.stage import Serving, Stage

TIMEOUT_SCALE = "5"  # a machine without a free CPU is not what is measured


class Instances:
    """Two instances on ports that they keep. Processes end with the thread that started them, so one thread does it."""

    def __init__(self, stage: Stage, ports: tuple[int, int]) -> None:
        self.ports = ports
        self._stage = stage
        self._stacks: dict[int, ExitStack] = {}
        self._running: dict[int, Serving] = {}
        self._thread = ThreadPoolExecutor(1)

    @property
    def first(self) -> Serving:
        return self._running[self.ports[0]]

    async def start(self, port: int, **variables: str) -> None:
        def act() -> None:
            self._stacks[port] = ExitStack()
            changes = {"TIMEOUT_SCALE": TIMEOUT_SCALE, **variables}
            self._running[port] = self._stacks[port].enter_context(self._stage.serve(port, **changes))

        await self._call(act)

    async def replace(self, port: int, **variables: str) -> None:
        """Stop an instance as systemd does, and start one in its place."""
        await self._call(self._stacks.pop(port).close)
        await self.start(port, **variables)

    async def close(self) -> None:
        for port in list(self._stacks):
            await self._call(self._stacks.pop(port).close)
        self._thread.shutdown()

    async def _call(self, act: Callable[[], None]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, act)

    def metric(self, port: int, name: str) -> float:
        """Return the sum of all samples of a metric of an instance."""
        with urlopen(f"{self._running[port].url}/metrics") as response:
            text: str = response.read().decode()
        families = text_string_to_metric_families(text)
        return float(sum(sample.value for family in families for sample in family.samples if sample.name == name))

    @property
    def pids(self) -> list[int]:
        return [self._running[port].pid for port in self.ports]
