-- The schemas of releases: types and functions.

-- name: current_schema
-- Return the schema of the tables.
select current_schema()

-- name: use_schema
-- Until the end of the transaction names are looked up along a path. Functions that say `set search_path from current` keep
-- it. Bodies are not checked when a function is created, because it may call one that comes later.
select set_config('search_path', @path, true), set_config('check_function_bodies', 'off', true)

-- name: list_function_schemas
-- The schema of the release that was migrated to last comes first: its comment is that time.
select nspname as name from pg_namespace where nspname ~ '^auth1_[0-9a-f]{8}$'
order by obj_description(oid, 'pg_namespace') desc nulls last

-- name: installation_time
-- Return the time that marks a schema.
select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')

-- name: call_function
-- A template: the program puts in the names of the function and of its parameter's type.
select * from FUNCTION(@request::TYPE)
