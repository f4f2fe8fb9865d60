"""The SQL functions of this release (`sql/functions`), in a schema named by their digest.

Composite types have no defaults and functions cannot be replaced under running workers, so a release installs its types
and functions once, unaltered, and calls them by their qualified names. Workers of the previous release go on calling
theirs. `auth1 migrate` drops the schemas of releases before the previous one.
"""

import hashlib
import re
from functools import cache
from typing import Any, TypeVar

import asyncpg

from auth1.core.postgres.queries import Function, Queries, field_names, sql_directory

Params = TypeVar("Params")
Row = TypeVar("Row")

_QUERIES = Queries("functions")
_TYPE = re.compile(r"^create type (\w+) as \((.*?)^\);\n", re.MULTILINE | re.DOTALL)
_FUNCTION = re.compile(r"^create function (\w+)\((?:requests? (\w+)(\[\])?)?", re.MULTILINE)
SCHEMA = re.compile(r"auth1_[0-9a-f]{8}")


class FunctionSet:
    """The types and functions of one release."""

    def __init__(self, files: dict[str, str]) -> None:
        """Read the texts of the files by name; `types.sql` has the types that several of them share."""
        ordered = sorted(files.items(), key=lambda file: (file[0] != "types.sql", file[0]))
        digest = hashlib.sha256()
        for name, text in ordered:
            digest.update(f"{name}\0{text}\0".encode())
        self.schema = f"auth1_{digest.hexdigest()[:8]}"
        whole = "\n".join(text for _, text in ordered)
        self.types = {name: _fields(body) for name, body in _TYPE.findall(whole)}
        self.parameters = {name: (type_name, bool(array)) for name, type_name, array in _FUNCTION.findall(whole)}
        # Types first: functions of several files have parameters of them.
        self._script = "".join(found[0] for found in _TYPE.finditer(whole)) + _TYPE.sub("", whole)

    async def install(self, connection: asyncpg.Connection) -> bool:
        """Install them unless they are; returns whether they were missing. The caller holds the migrations' lock."""
        current = await connection.fetchval(_QUERIES["current_schema"].text)
        if self.schema in await installed_functions(connection):
            return False
        async with connection.transaction():
            await connection.execute(f"create schema {self.schema}")
            path = f'{self.schema}, "{current}", pg_temp'
            await connection.execute(_QUERIES["use_schema"].text, path)
            await connection.execute(self._script)
        return True

    async def warm(self, connection: Any) -> None:
        """Load the types into a connection: asyncpg needs about 10 ms for that. Missing types are loaded later."""
        names = [f"{self.schema}.{type_name}" for type_name, _ in self.parameters.values() if type_name in self.types]
        nulls = ", ".join(f"null::{name}[]" for name in dict.fromkeys(names))
        await connection.fetchrow(f"select {nulls}")


@cache
def functions() -> FunctionSet:
    """Read the functions of this release."""
    files = sorted((sql_directory() / "functions").glob("*.sql"))
    return FunctionSet({file.name: file.read_text(encoding="utf-8") for file in files})


def function(name: str, params: type[Params], row: type[Row]) -> Function[Params, Row]:
    """Return a function of this release. Raises TypeError where the fields of `params` are not those of its type."""
    release = functions()
    type_name, takes_array = release.parameters[name]
    if release.types[type_name] != field_names(params):
        raise TypeError(f"{params.__name__} has other fields than {type_name}: {release.types[type_name]}")
    parameter = f"{release.schema}.{type_name}" + ("[]" if takes_array else "")
    template = _QUERIES["call_function"].text
    text = template.replace("FUNCTION", f"{release.schema}.{name}").replace("TYPE", parameter)
    return Function(name, text, row, takes_array=takes_array)


async def installed_functions(connection: asyncpg.Connection) -> list[str]:
    """List the schemas of releases, the one that was installed or migrated to last first."""
    rows = await connection.fetch(_QUERIES["list_function_schemas"].text)
    return [row["name"] for row in rows]


async def install_functions(connection: asyncpg.Connection, release: FunctionSet) -> bool:
    """Install a release, mark it as the newest, and drop those before the previous one. Returns whether it was missing.

    The caller holds the migrations' lock in a transaction.
    """
    is_new = await release.install(connection)
    known = await installed_functions(connection)
    if known[:1] != [release.schema]:
        comment = await connection.fetchval(_QUERIES["installation_time"].text)
        await connection.execute(f"comment on schema {release.schema} is '{comment}'")
    for schema in [name for name in known if name != release.schema][1:]:
        await connection.execute(f"drop schema {schema} cascade")
    return is_new


def _fields(body: str) -> tuple[str, ...]:
    """Return the field names of a composite type from its definition."""
    lines = [line.partition("--")[0].strip() for line in body.splitlines()]
    return tuple(line.split()[0] for line in lines if line)
