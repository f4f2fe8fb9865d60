"""The named queries of `sql/queries`: valid, documented and used."""

import ast
import importlib
import operator
import pkgutil
import re
from pathlib import Path
from typing import Any

import asyncpg
import pytest

import auth1
from auth1 import retention
from auth1.core.postgres import NoParams, Queries, Query, Statement, sql_directory
from auth1.core.postgres.queries import compile_query, field_names
from auth1.dev.postgres import PostgresServer
from tests.sql.conftest import Connect
from tests.support.each import each

FILES = sorted((sql_directory() / "queries").glob("*.sql"))
BLOCKS = {file.stem: Queries(file.stem).blocks for file in FILES}
QUERIES = {f"{slice_name}.{name}": query for slice_name, blocks in BLOCKS.items() for name, query in blocks.items()}
UTILITIES = {"migrate.create_migrations", "dev.create_database", "functions.call_function"}  # not for PREPARE


def comment_of(query: Query) -> str:
    """Return the comment at the head of a query."""
    found = re.match(r"(--.*\n)*", query.text)
    assert found is not None
    return found[0]


def parameters_of(query: Query) -> set[int]:
    """Return the numbers of the parameters of the SQL."""
    return {int(number) for number in re.findall(r"\$(\d+)", re.sub(r"--.*", "", query.text))}


def used_names() -> set[str]:
    """Return the query names that the program uses, from its syntax trees."""
    used = {f"retention.{name}" for name in (*retention.TABLE_SCANS, *retention.INDEXED_PURGES)}
    for file in Path(auth1.__file__).parent.rglob("*.py"):
        text = file.read_text()
        if "Queries(" not in text:
            continue
        tree = ast.parse(text)
        slices: dict[str, str] = {}
        for node in ast.walk(tree):
            match node:
                case ast.Assign([ast.Name(variable)], ast.Call(ast.Name("Queries"), [ast.Constant(str() as name)])):
                    slices[variable] = name
        for node in ast.walk(tree):
            match node:
                case ast.Subscript(ast.Name(variable), ast.Constant(str() as name)) if variable in slices:
                    used.add(f"{slices[variable]}.{name}")
                case ast.Subscript(
                    ast.Call(ast.Name("Queries"), [ast.Constant(str() as stem)]), ast.Constant(str() as name)
                ):
                    used.add(f"{stem}.{name}")
                case ast.Call(ast.Attribute(ast.Name(variable), "statement"), [ast.Constant(str() as name), *_]):
                    used.add(f"{slices[variable]}.{name}")
    return used


@each("name", sorted(QUERIES.keys() - UTILITIES))
async def test_every_query_is_valid_sql(connection: asyncpg.Connection, name: str) -> None:
    statement = await connection.prepare(QUERIES[name].text)

    assert len(statement.get_parameters()) == max(parameters_of(QUERIES[name]), default=0)


async def test_migrations_table_can_be_created_twice(connection: asyncpg.Connection) -> None:
    before = await connection.fetch(QUERIES["migrate.list_migrations"].text)

    await connection.execute(QUERIES["migrate.create_migrations"].text)
    await connection.execute(QUERIES["migrate.create_migrations"].text)

    assert await connection.fetch(QUERIES["migrate.list_migrations"].text) == before


async def test_dev_database_is_created_and_found(postgres_server: PostgresServer, connect: Connect) -> None:
    connection = await connect(postgres_server.url())
    exists = QUERIES["dev.database_exists"].text
    assert not await connection.fetchval(exists, "auth1_db")

    await connection.execute(QUERIES["dev.create_database"].text)

    assert await connection.fetchval(exists, "auth1_db")
    await connection.execute("drop database auth1_db")


@each("name, query", QUERIES.items(), ids=operator.itemgetter(0))
def test_every_query_has_a_comment_and_named_parameters(name: str, query: Query) -> None:
    assert comment_of(query).strip(), "a block without a comment"
    assert len(query.parameters) == len(parameters_of(query)), "a parameter without a name"


def statements() -> dict[str, Statement[Any, Any]]:
    """Return the typed statements of the program by name."""
    modules = [importlib.import_module(one.name) for one in pkgutil.walk_packages(auth1.__path__, "auth1.")]
    values = [value for module in modules for value in vars(module).values()]
    return {value.name: value for value in values if isinstance(value, Statement)}


STATEMENTS = statements()


@each("name", sorted(STATEMENTS))
async def test_statement_returns_the_columns_of_its_row_type(connection: asyncpg.Connection, name: str) -> None:
    statement = STATEMENTS[name]
    prepared = await connection.prepare(statement.text)

    columns = [attribute.name for attribute in prepared.get_attributes()]

    assert set(field_names(statement.row)) <= set(columns), f"{statement.row.__name__} has other fields than {columns}"


def test_parameters_of_another_name_are_rejected() -> None:
    with pytest.raises(TypeError, match="tenant_id"):
        Statement(compile_query("one", "select @tenant_id"), NoParams, NoParams)


def test_parameters_are_numbered_in_the_order_of_their_first_use() -> None:
    query = compile_query("one", "-- @comment\nselect @b, @a, @b, '@text', x @> @a")

    assert query.parameters == ("b", "a")
    assert query.text == "-- @comment\nselect $1, $2, $1, '@text', x @> $2"


@each("file", FILES)
def test_every_query_file_begins_with_a_comment(file: Path) -> None:
    assert re.match(r"-- (?!name:)", file.read_text())


def test_every_query_is_used_and_every_used_query_exists() -> None:
    assert used_names() == QUERIES.keys()


def test_query_names_are_unique_across_files() -> None:
    names = [name for blocks in BLOCKS.values() for name in blocks]

    assert len(names) == len(set(names))
    # A name given twice in one file would hide the first block from the check above.
    written = [name for file in FILES for name in re.findall(r"^-- name: (\w+)$", file.read_text(), re.MULTILINE)]
    assert written == names
