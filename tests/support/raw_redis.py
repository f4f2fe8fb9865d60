"""A plain Redis connection without a timeout; the service's own times out after 50 ms."""

import asyncio
from typing import Any, Self

import hiredis

from auth1.core.redis import Address, Script


class RawRedis:
    """Send commands and read replies. Error replies are returned as hiredis.ReplyError."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._parser = hiredis.Reader()

    @classmethod
    async def connect(cls, url: str) -> Self:
        [endpoint] = Address.parse(url).endpoints
        return cls(*await asyncio.open_connection(endpoint.host, endpoint.port))

    async def call(self, *words: str | bytes | int) -> Any:
        """Send one command and await its reply."""
        [reply] = await self.calls([words])
        return reply

    async def calls(self, commands: list[tuple[str | bytes | int, ...]]) -> list[Any]:
        """Send many commands in one write."""
        self._writer.write(b"".join(hiredis.pack_command(words) for words in commands))  # type: ignore[arg-type]
        return [await self.read() for _ in commands]

    async def read(self) -> Any:
        """Return the next reply, or the next line of a command like MONITOR."""
        while (reply := self._parser.gets()) is False:
            if not (data := await self._reader.read(65536)):
                raise ConnectionError("Redis has closed the connection")
            self._parser.feed(data)
        return reply

    async def run(self, script: Script, keys: list[str], arguments: list[int]) -> Any:
        """Run a script by its text."""
        return await self.call("EVAL", script.text, len(keys), *keys, *arguments)

    def close(self) -> None:
        self._writer.close()
