"""The statements of `sql/queries` by name, and calls of functions.

A statement is a block of a file: a line `-- name: find_challenge`, comments, then SQL with named parameters
(`@tenant_id`). The parameters are compiled to `$1`, `$2`, … in the order of their first use. They are passed as a
Struct or NamedTuple whose fields are compared with the names at import. Rows are returned as such types, by column
name.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import asyncpg
import msgspec

import auth1

Params = TypeVar("Params", contravariant=True)
Row = TypeVar("Row", covariant=True)

_PARAMETER = re.compile(r"(?<![@\w])@([a-z_]\w*)")  # not the operator @>
_NOT_CODE = re.compile(r"--[^\n]*|'(?:[^']|'')*'")  # comments and strings


class Query(NamedTuple):
    """A named block of SQL. `parameters` are the names of `$1`, `$2`, …"""

    name: str
    text: str
    parameters: tuple[str, ...] = ()


class NoParams(NamedTuple):
    """The parameters of a statement that has none."""


NO_PARAMS = NoParams()


class Statement(Generic[Params, Row]):
    """A query with the types of its parameters and rows."""

    def __init__(self, query: Query, params: type[Params], row: type[Row]) -> None:
        self.name = query.name
        self.text = query.text
        self.params = params
        self.row = row
        self._parameters = query.parameters
        self._columns = field_names(row)
        if set(self._parameters) != set(field_names(params)):
            raise TypeError(f"{params.__name__} has other fields than {self.name}: {', '.join(self._parameters)}")

    def arguments(self, params: Params) -> list[Any]:
        """Return the arguments in the order of `$1`, `$2`, …"""
        return [getattr(params, name) for name in self._parameters]

    def read(self, record: asyncpg.Record) -> Row:
        """Return a row by its column names."""
        return self.row(*[record[name] for name in self._columns])


class Function(Generic[Params, Row]):
    """A function of this release, which takes one request or an array of them, with the types of request and result."""

    def __init__(self, name: str, text: str, row: type[Row], *, takes_array: bool) -> None:
        self.name = name
        self.text = text
        self.row = row
        self.takes_array = takes_array
        self._columns = field_names(row)

    def arguments(self, requests: Sequence[Params]) -> Sequence[Any]:
        """Return the argument: all requests, or the only one."""
        return [requests] if self.takes_array else requests

    def read(self, record: asyncpg.Record) -> Row:
        """Return a row by its column names."""
        return self.row(*[record[name] for name in self._columns])


class Queries:
    """The blocks of one file of `sql/queries`."""

    def __init__(self, file_name: str) -> None:
        path = sql_directory() / "queries" / f"{file_name}.sql"
        blocks = re.split(r"^-- name: (\w+)\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        self.blocks = {name: compile_query(name, text) for name, text in zip(blocks[1::2], blocks[2::2], strict=True)}

    def __getitem__(self, name: str) -> Query:
        return self.blocks[name]

    def statement(self, name: str, params: type[Params], row: type[Row]) -> Statement[Params, Row]:
        """Return a block with the types of its parameters and rows. Raises TypeError where their names differ."""
        return Statement(self.blocks[name], params, row)


def compile_query(name: str, text: str) -> Query:
    """Replace named parameters by numbers, in the order of their first use."""
    numbers: dict[str, int] = {}

    def number_in(code: str) -> str:
        return _PARAMETER.sub(lambda found: f"${numbers.setdefault(found[1], len(numbers) + 1)}", code)

    parts, end = list[str](), 0
    for other in _NOT_CODE.finditer(text):
        parts += [number_in(text[end : other.start()]), other[0]]
        end = other.end()
    parts.append(number_in(text[end:]))
    return Query(name, "".join(parts).strip(), tuple(numbers))


def field_names(record_type: type[Any]) -> tuple[str, ...]:
    """Return the field names of a Struct or NamedTuple, in order."""
    if issubclass(record_type, msgspec.Struct):
        return record_type.__struct_fields__
    names: tuple[str, ...] = getattr(record_type, "_fields", ())
    return names


def sql_directory() -> Path:
    """Return the folder of the SQL: inside the installed package, or beside it in a checkout."""
    package = Path(auth1.__file__).parent
    return inside if (inside := package / "sql").is_dir() else package.parent / "sql"


def arguments_of(statement: Statement[Any, Any] | Query, arguments: Sequence[Any]) -> Sequence[Any]:
    """Return the arguments of `$1`, `$2`, …: those of a Query as they are."""
    return statement.arguments(arguments[0]) if isinstance(statement, Statement) else arguments


def read_rows(statement: Statement[Any, Any] | Query, rows: list[asyncpg.Record]) -> list[Any]:
    """Return rows in the type that the statement has; those of a Query as they are."""
    return [statement.read(row) for row in rows] if isinstance(statement, Statement) else rows


async def fetch(
    connection: asyncpg.Connection, text: str, arguments: Sequence[Any], limit: int = 0
) -> list[asyncpg.Record]:
    """Run a statement on a connection and return its rows: with a limit of 1 the first one."""
    if limit == 1:
        row = await connection.fetchrow(text, *arguments)
        return [] if row is None else [row]
    return await connection.fetch(text, *arguments)
