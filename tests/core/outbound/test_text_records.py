"""Look-ups of TXT records at a real DNS server, and answers that are not accepted."""

import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from auth1.core.outbound import text_records
from auth1.core.outbound.text_records import InvalidAnswer, TextResolver, read_answer, write_query
from tests.support.dns import RESPONSE, DnsServer

NAME = "_auth1.login.example.com"
QUERY = write_query(7, NAME)


@pytest.fixture
async def server() -> AsyncIterator[DnsServer]:
    async with DnsServer() as server:
        yield server


@pytest.fixture
def resolver(server: DnsServer) -> TextResolver:
    return TextResolver((("127.0.0.1", server.port),), timeout_s=20)


@pytest.mark.parametrize("texts", [["a"], ["one", "two"], [""], ["x" * 300], ["é"]])
async def test_texts_of_a_name_are_found(server: DnsServer, resolver: TextResolver, texts: list[str]) -> None:
    server.texts[NAME] = texts

    assert await resolver.find(NAME) == texts


async def test_texts_behind_an_alias_are_found(server: DnsServer, resolver: TextResolver) -> None:
    server.texts[NAME] = ["a"]
    server.aliases.add(NAME)

    assert await resolver.find(NAME) == ["a"]


async def test_truncated_answer_is_read_over_tcp(server: DnsServer, resolver: TextResolver) -> None:
    server.texts[NAME] = ["x" * 255, "y" * 600]

    assert await resolver.find(NAME) == server.texts[NAME]
    assert server.over_tcp == 1


async def test_name_that_does_not_exist_has_no_texts(resolver: TextResolver) -> None:
    assert await resolver.find(NAME) == []


async def test_next_server_answers_where_one_fails(server: DnsServer) -> None:
    async with DnsServer(broken={NAME}) as failing:
        server.texts[NAME] = ["a"]
        servers = tuple(("127.0.0.1", one.port) for one in (failing, server))

        assert await TextResolver(servers, timeout_s=20).find(NAME) == ["a"]


async def test_failure_of_all_servers_is_an_error(server: DnsServer, resolver: TextResolver) -> None:
    server.broken.add(NAME)

    with pytest.raises(OSError, match="No DNS server answers"):
        await resolver.find(NAME)


async def test_servers_of_the_system_are_those_of_resolv_conf(
    server: DnsServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("search example.com\nnameserver 127.0.0.1 # of the tests\nnameserver\n")
    monkeypatch.setattr(text_records, "_RESOLV_CONF", path)
    monkeypatch.setattr(text_records, "PORT", server.port)
    server.texts[NAME] = ["a"]

    assert await TextResolver(timeout_s=20).find(NAME) == ["a"]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        struct.pack("!6H", 8, RESPONSE, 1, 0, 0, 0) + QUERY[12:],  # another id
        struct.pack("!6H", 7, 0, 1, 0, 0, 0) + QUERY[12:],  # a query
        struct.pack("!6H", 7, RESPONSE, 0, 0, 0, 0) + QUERY[12:],
        struct.pack("!6H", 7, RESPONSE, 1, 0, 0, 0) + write_query(7, "_auth1.other.example.com")[12:],
        struct.pack("!6H", 7, RESPONSE, 1, 1, 0, 0) + QUERY[12:],  # without its record
        struct.pack("!6H", 7, RESPONSE, 1, 1, 0, 0) + QUERY[12:] + b"\xc0\x0c" + struct.pack("!2HIH", 16, 1, 0, 9),
        struct.pack("!6H", 7, RESPONSE, 1, 1, 0, 0) + QUERY[12:] + b"\x3f" * 40,
    ],
)
def test_answer_to_another_question_is_rejected(answer: bytes) -> None:
    with pytest.raises(InvalidAnswer):
        read_answer(QUERY, answer)


def test_spelling_of_the_question_does_not_matter() -> None:
    assert read_answer(QUERY, struct.pack("!6H", 7, RESPONSE, 1, 0, 0, 0) + QUERY[12:].upper()) == []
