"""Export all users page by page: each page is one statement that starts where the page before ended.

So no transaction is open while a client is slow.
"""

import asyncio
import csv
import io
import re
from collections.abc import AsyncGenerator, Sequence
from typing import Literal

from msgspec import structs

from auth1.core import schemas
from auth1.core.postgres import Postgres
from auth1.errors import Unavailable
from auth1.users import store
from auth1.users.schemas import UserOut

Format = Literal["ndjson", "csv"]
PAGE = 500
COLUMNS = UserOut.__struct_fields__
# A spreadsheet reads a cell that begins with one of these as a formula, and an email may begin with one. Such a cell
# gets an apostrophe before it, which the import removes; so does a cell that begins with an apostrophe. Phones do not.
_FORMULA = re.compile(r"['=@\t\r-]|\+(?![0-9]+\Z)")
RETRY_DELAYS_S = (0.2, 1.0)  # seconds between tries while the database is unavailable


async def begin(postgres: Postgres, tenant_id: str, kind: Format, after: str = "") -> AsyncGenerator[bytes, None]:
    """Return all users after an id, oldest first. The first page is read at once. Raises Unavailable."""
    return _pieces(postgres, tenant_id, kind, await store.export_users(postgres, tenant_id, after, PAGE))


async def _pieces(
    postgres: Postgres, tenant_id: str, kind: Format, users: list[UserOut]
) -> AsyncGenerator[bytes, None]:
    if kind == "csv":
        yield _csv([])
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
        return _csv([[_cell(value) for value in structs.astuple(user)] for user in users])
    return b"".join([schemas.encode(user) + b"\n" for user in users])


def _csv(rows: Sequence[Sequence[str]]) -> bytes:
    """Return rows in the format of RFC 4180; no rows mean the header."""
    text = io.StringIO()
    csv.writer(text).writerows(rows or [COLUMNS])
    return text.getvalue().encode()


def _cell(value: object) -> str:
    if value is None or isinstance(value, str):
        return f"'{value}" if value is not None and _FORMULA.match(value) else value or ""
    return schemas.encode(value).decode().strip('"')
