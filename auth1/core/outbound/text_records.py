"""Look-ups of TXT records (RFC 1035), by the DNS servers of the system or by given ones.

The system's own look-ups find addresses only. A query goes over UDP, and again over TCP where the answer is truncated.
A connected socket with a random port and a random id: only the server that was queried can answer.
"""

import asyncio
import secrets
import struct
from pathlib import Path

DnsServer = tuple[str, int]  # address and port

PORT = 53
MAX_SERVERS = 3
TIMEOUT_S = 4.0  # of a look-up, shared by the servers that are tried
_RESOLV_CONF = Path("/etc/resolv.conf")
_TXT, _INTERNET = 16, 1
_NO_ERROR, _NO_SUCH_NAME = 0, 3
_RECURSION_DESIRED, _RESPONSE, _TRUNCATED = 0x0100, 0x8000, 0x0200


class InvalidAnswer(Exception):
    """An answer that is not valid, or that reports a failure of the server."""


class TextResolver:
    """Finds TXT records. Without `servers` it queries those of /etc/resolv.conf, as they are at each look-up."""

    def __init__(self, servers: tuple[DnsServer, ...] = (), *, timeout_s: float = TIMEOUT_S) -> None:
        self._servers = servers
        self._timeout_s = timeout_s

    async def find(self, name: str) -> list[str]:
        """Return the texts of the TXT records of a name. Raises OSError where no server answers."""
        servers = self._servers or _system_servers()
        for server in servers[:MAX_SERVERS]:
            try:
                async with asyncio.timeout(self._timeout_s / len(servers[:MAX_SERVERS])):
                    return await _query(server, name)
            except (OSError, InvalidAnswer):  # TimeoutError is an OSError
                continue
        raise OSError("No DNS server answers.")


def _system_servers() -> tuple[DnsServer, ...]:
    try:
        lines = _RESOLV_CONF.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    words = (line.split() for line in lines)
    found = tuple((line[1], PORT) for line in words if len(line) > 1 and line[0] == "nameserver")
    return found or (("127.0.0.1", PORT),)


async def _query(server: DnsServer, name: str) -> list[str]:
    query = write_query(secrets.randbelow(1 << 16), name)
    answer = await _exchange_datagrams(server, query)
    if struct.unpack_from("!H", answer, 2)[0] & _TRUNCATED:
        answer = await _exchange_over_tcp(server, query)
    return read_answer(query, answer)


class _Exchange(asyncio.DatagramProtocol):
    """Waits for the answer to one query."""

    def __init__(self, query: bytes) -> None:
        self._query = query
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if len(data) >= 12 and data[:2] == self._query[:2] and not self.answer.done():
            self.answer.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(exc)


async def _exchange_datagrams(server: DnsServer, query: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    transport, exchange = await loop.create_datagram_endpoint(lambda: _Exchange(query), remote_addr=server)
    try:
        transport.sendto(query)
        return await exchange.answer
    finally:
        transport.close()


async def _exchange_over_tcp(server: DnsServer, query: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(*server)
    try:
        writer.write(struct.pack("!H", len(query)) + query)
        [length] = struct.unpack("!H", await reader.readexactly(2))
        return await reader.readexactly(length)
    except asyncio.IncompleteReadError as error:
        raise InvalidAnswer from error
    finally:
        writer.close()


def write_query(query_id: int, name: str) -> bytes:
    """Return the query for the TXT records of a name, whose labels have 1 to 63 ASCII characters."""
    header = struct.pack("!6H", query_id, _RECURSION_DESIRED, 1, 0, 0, 0)
    labels = b"".join(bytes([len(label)]) + label.encode("ascii") for label in name.split("."))
    return header + labels + b"\0" + struct.pack("!2H", _TXT, _INTERNET)


def read_answer(query: bytes, answer: bytes) -> list[str]:
    """Return the texts of an answer; none where the name does not exist. Raises InvalidAnswer."""
    try:
        query_id, flags, questions, answers, _, _ = struct.unpack_from("!6H", answer)
        question_end = len(query)
        is_ours = query_id == int.from_bytes(query[:2], "big") and bool(flags & _RESPONSE) and questions == 1
        if not is_ours or answer[12:question_end].lower() != query[12:].lower():
            raise InvalidAnswer
        if flags & 0xF == _NO_SUCH_NAME:
            return []
        if flags & 0xF != _NO_ERROR:
            raise InvalidAnswer
        return _read_records(answer, question_end, answers)
    except (struct.error, IndexError) as error:
        raise InvalidAnswer from error


def _read_records(answer: bytes, position: int, count: int) -> list[str]:
    """Read the records of the answer. Those of an alias are there too, with the name that it leads to."""
    texts = []
    for _ in range(count):
        position = _skip_name(answer, position)
        kind, _, _, length = struct.unpack_from("!2HIH", answer, position)
        position += 10
        data = answer[position : position + length]
        if len(data) != length:
            raise InvalidAnswer
        position += length
        if kind == _TXT:
            texts.append(_read_text(data))
    return texts


def _skip_name(answer: bytes, position: int) -> int:
    """Return the position behind a name: labels, then an empty one or a pointer."""
    while (length := answer[position]) != 0:
        if length & 0xC0 == 0xC0:
            return position + 2
        position += 1 + length
    return position + 1


def _read_text(data: bytes) -> str:
    """Return the text of a record, which is in pieces of at most 255 bytes."""
    text, position = b"", 0
    while position < len(data):
        length = data[position]
        text += data[position + 1 : position + 1 + length]
        position += 1 + length
    return text.decode("utf-8", "replace")
