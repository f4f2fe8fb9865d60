"""Export all users page by page: each page is one statement that starts where the page before ended.

So no transaction is open while a client is slow.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Literal

from msgspec import structs

from auth1.core import csv_text, schemas
from auth1.core.postgres import Postgres
from auth1.errors import Unavailable
from auth1.users import store
from auth1.users.schemas import UserOut

Format = Literal["ndjson", "csv"]
PAGE = 500
COLUMNS = UserOut.__struct_fields__
RETRY_DELAYS_S = (0.2, 1.0)  # seconds between tries while the database is unavailable


async def begin(postgres: Postgres, tenant_id: str, kind: Format, after: str = "") -> AsyncGenerator[bytes, None]:
    """Return all users after an id, oldest first. The first page is read at once. Raises Unavailable."""
    return _pieces(postgres, tenant_id, kind, await store.export_users(postgres, tenant_id, after, PAGE))


async def _pieces(
    postgres: Postgres, tenant_id: str, kind: Format, users: list[UserOut]
) -> AsyncGenerator[bytes, None]:
    if kind == "csv":
        yield csv_text.lines([COLUMNS])
    while users:
        yield _encode(kind, users)
        users = await _page(postgres, tenant_id, users[-1].user_id) if len(users) == PAGE else []


async def _page(postgres: Postgres, tenant_id: str, after: str) -> list[UserOut]:
    for pause_s in RETRY_DELAYS_S:
        try:
            return await store.export_users(postgres, tenant_id, after, PAGE)
        except Unavailable:
            await asyncio.sleep(pause_s)
    return await store.export_users(postgres, tenant_id, after, PAGE)


def _encode(kind: Format, users: Sequence[UserOut]) -> bytes:
    if kind == "csv":
        return csv_text.lines([[csv_text.cell(value) for value in structs.astuple(user)] for user in users])
    return b"".join([schemas.encode(user) + b"\n" for user in users])
