"""A worker has opened its connections before its instance listens."""

import socket

import asyncpg
import pytest

from auth1.app import READY_CONNECTIONS
from auth1.dev.postgres import PostgresServer
from auth1.dev.redis import RedisServer
from tests.faults.conftest import Launcher
from tests.support.postgres_files import new_database
from tests.support.process import START_S, until


async def test_first_request_finds_open_connections(module_launcher: Launcher, own_postgres: PostgresServer) -> None:
    url = await new_database(own_postgres, "auth1_ready")
    database = await asyncpg.connect(own_postgres.url())
    try:
        async with module_launcher(DATABASE_URL=url, WORKERS="1") as server:
            opened = await database.fetchval(
                "select count(*) from pg_stat_activity where datname = 'auth1_ready' and application_name = 'auth1'"
            )
            health = (await server.client.get("/health")).json()
    finally:
        await database.close()

    assert opened >= READY_CONNECTIONS
    assert health["redis"] == "connected"


async def test_instance_listens_only_when_a_worker_is_ready(module_launcher: Launcher, own_redis: RedisServer) -> None:
    server = module_launcher(REDIS_CONNECT_TIMEOUT_MS="2000")
    own_redis.freeze()  # connecting takes several seconds
    try:
        server.spawn()
        await until(lambda: "Auth1 server running" in server.text(), START_S, server.text)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port)).close()
        own_redis.thaw()
        await until(server.answers, START_S, server.text)
    finally:
        own_redis.thaw()
        server.end()
        await server.client.aclose()
