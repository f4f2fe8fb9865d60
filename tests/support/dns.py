"""A DNS server on the loopback that answers queries for TXT records, over UDP and TCP at one port."""

import asyncio
import struct
from dataclasses import dataclass, field
from typing import cast

TXT, CNAME, INTERNET = 16, 5, 1
NO_SUCH_NAME, SERVER_FAILURE = 3, 2
RESPONSE, TRUNCATED = 0x8180, 0x0200
MAX_DATAGRAM = 512
ALIAS_TARGET = b"\x05other\xc0\x0c"  # `other.` before the name of the question


def write_text(text: str) -> bytes:
    """Return a TXT record's data, in pieces of at most 255 bytes."""
    raw = text.encode()
    pieces = [raw[at : at + 255] for at in range(0, len(raw), 255)] or [b""]
    return b"".join(bytes([len(piece)]) + piece for piece in pieces)


@dataclass
class DnsServer:
    """Records by name. A name of `aliases` has its texts behind a CNAME; one of `broken` gets SERVFAIL."""

    texts: dict[str, list[str]] = field(default_factory=dict)
    aliases: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    over_tcp: int = 0
    port: int = 0

    async def __aenter__(self) -> "DnsServer":
        loop = asyncio.get_running_loop()
        self._tcp = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._tcp.sockets[0].getsockname()[1]
        address = ("127.0.0.1", self.port)
        self._udp, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), local_addr=address)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._udp.close()
        self._tcp.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        [length] = struct.unpack("!H", await reader.readexactly(2))
        answer = self.answer(await reader.readexactly(length))
        self.over_tcp += 1
        writer.write(struct.pack("!H", len(answer)) + answer)
        await writer.drain()
        writer.close()

    def answer(self, query: bytes) -> bytes:
        """Return the whole answer to a query."""
        name = _read_name(query)
        if name in self.broken:
            return query[:2] + struct.pack("!5H", RESPONSE | SERVER_FAILURE, 1, 0, 0, 0) + query[12:]
        texts = self.texts.get(name)
        if texts is None:
            return query[:2] + struct.pack("!5H", RESPONSE | NO_SUCH_NAME, 1, 0, 0, 0) + query[12:]
        records = [(b"\xc0\x0c", TXT, write_text(text)) for text in texts]
        if name in self.aliases:
            records = [(ALIAS_TARGET, kind, data) for _, kind, data in records]
            records.insert(0, (b"\xc0\x0c", CNAME, ALIAS_TARGET))
        written = b"".join(
            owner + struct.pack("!2HIH", kind, INTERNET, 60, len(data)) + data for owner, kind, data in records
        )
        return query[:2] + struct.pack("!5H", RESPONSE, 1, len(records), 0, 0) + query[12:] + written


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        answer = self._server.answer(data)
        if len(answer) > MAX_DATAGRAM:
            answer = data[:2] + struct.pack("!5H", RESPONSE | TRUNCATED, 1, 0, 0, 0) + data[12:]
        self._transport.sendto(answer, addr)


def _read_name(query: bytes) -> str:
    labels, position = [], 12
    while length := query[position]:
        labels.append(query[position + 1 : position + 1 + length].decode())
        position += 1 + length
    return ".".join(labels)
