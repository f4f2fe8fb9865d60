"""The named blocks of `sql/queries`: each is sound SQL, says what its parameters are, and is used."""

import ast
import re
from pathlib import Path

import asyncpg
import pytest

import auth1
from auth1 import retention
from auth1.core.postgres import Queries, Query, sql_directory
from auth1.dev.postgres import PostgresServer
from tests.sql.conftest import Connect

FILES = sorted((sql_directory() / "queries").glob("*.sql"))
BLOCKS = {file.stem: Queries(file.stem).blocks for file in FILES}
QUERIES = {f"{slice_name}.{name}": query for slice_name, blocks in BLOCKS.items() for name, query in blocks.items()}
UTILITIES = {"migrate.create_migrations", "dev.create_database"}  # what PREPARE does not take

every_block = pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES.keys())


def comment_of(query: Query) -> str:
    """The comment at the head of a block."""
    found = re.match(r"(--.*\n)*", query.text)
    assert found is not None
    return found[0]


def parameters_of(query: Query) -> set[int]:
    """The numbers of the parameters that the SQL itself has."""
    return {int(number) for number in re.findall(r"\$(\d+)", re.sub(r"--.*", "", query.text))}


def used_names() -> set[str]:
    """What the program asks `Queries` for, by its syntax trees: `slice.name`."""
    used = {f"retention.{name}" for name in (*retention.TABLE_SCANS, *retention.INDEXED_PURGES)}
    for file in Path(auth1.__file__).parent.rglob("*.py"):
        tree = ast.parse(file.read_text())
        slices: dict[str, str] = {}
        for node in ast.walk(tree):
            match node:
                case ast.Assign([ast.Name(variable)], ast.Call(ast.Name("Queries"), [ast.Constant(str() as name)])):
                    slices[variable] = name
        for node in ast.walk(tree):
            match node:
                case ast.Subscript(ast.Name(variable), ast.Constant(str() as name)) if variable in slices:
                    used.add(f"{slices[variable]}.{name}")
    return used


@pytest.mark.parametrize("name", sorted(QUERIES.keys() - UTILITIES))
async def test_a_block_is_sound_sql_for_the_migrated_database(connection: asyncpg.Connection, name: str) -> None:
    statement = await connection.prepare(QUERIES[name].text)

    assert len(statement.get_parameters()) == max(parameters_of(QUERIES[name]), default=0)


async def test_the_table_of_migrations_can_be_made_twice(connection: asyncpg.Connection) -> None:
    before = await connection.fetch(QUERIES["migrate.list_migrations"].text)

    await connection.execute(QUERIES["migrate.create_migrations"].text)
    await connection.execute(QUERIES["migrate.create_migrations"].text)

    assert await connection.fetch(QUERIES["migrate.list_migrations"].text) == before


async def test_the_database_of_auth1_dev_is_made_and_found(postgres_server: PostgresServer, connect: Connect) -> None:
    connection = await connect(postgres_server.url())
    exists = QUERIES["dev.database_exists"].text
    assert not await connection.fetchval(exists, "auth1_db")

    await connection.execute(QUERIES["dev.create_database"].text)

    assert await connection.fetchval(exists, "auth1_db")
    await connection.execute("drop database auth1_db")


@every_block
def test_the_comment_of_a_block_names_each_of_its_parameters(query: Query) -> None:
    comment = comment_of(query)

    assert comment.strip(), "a block without a comment"
    named = {int(number) for number in re.findall(r"\$(\d+)", comment)}
    assert named == parameters_of(query)


@every_block
def test_the_parameters_of_a_block_are_numbered_without_a_gap(query: Query) -> None:
    parameters = parameters_of(query)

    assert parameters == set(range(1, len(parameters) + 1))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.stem))
def test_a_file_says_first_what_it_is_about(file: Path) -> None:
    assert re.match(r"-- (?!name:)", file.read_text())


def test_every_block_is_used_and_every_name_that_is_used_exists() -> None:
    assert used_names() == QUERIES.keys()


def test_the_names_of_blocks_are_unique_across_files() -> None:
    names = [name for blocks in BLOCKS.values() for name in blocks]

    assert len(names) == len(set(names))
    # A name given twice in one file would hide the first block from the check above.
    written = [name for file in FILES for name in re.findall(r"^-- name: (\w+)$", file.read_text(), re.MULTILINE)]
    assert written == names
