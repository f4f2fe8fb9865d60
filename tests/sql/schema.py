"""Describe a database schema in a comparable form."""

import asyncpg

_TABLES = """
select c.relname as "table", c.relkind::text, a.attname, format_type(a.atttypid, a.atttypmod) as type, a.attnotnull,
  pg_get_expr(d.adbin, d.adrelid) as "default", co.collname, c.reloptions
from pg_class c
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
left join pg_collation co on co.oid = a.attcollation
where c.relnamespace = 'public'::regnamespace
order by 1, 3
"""
_CONSTRAINTS = """
select conrelid::regclass::text, conname, pg_get_constraintdef(oid)
from pg_constraint where connamespace = 'public'::regnamespace order by 1, 2
"""
_INDEXES = "select tablename, indexname, indexdef from pg_indexes where schemaname = 'public' order by 1, 2"
_PARTITIONS = """
select inhparent::regclass::text, inhrelid::regclass::text, pg_get_expr(c.relpartbound, c.oid)
from pg_inherits join pg_class c on c.oid = inhrelid where c.relkind = 'r' order by 1, 2
"""
_FUNCTIONS = """
select proname, pg_get_functiondef(oid) from pg_proc where pronamespace = 'public'::regnamespace order by 1, 2
"""


async def describe(connection: asyncpg.Connection) -> list[tuple[object, ...]]:
    """Return tables with their columns, constraints, indexes, partitions and functions."""
    questions = (_TABLES, _CONSTRAINTS, _INDEXES, _PARTITIONS, _FUNCTIONS)
    return [tuple(row) for question in questions for row in await connection.fetch(question)]
