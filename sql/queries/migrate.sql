-- The record of which migrations were applied.

-- name: create_migrations
-- Two instances may come here at once: "if not exists" alone can still collide on the type's name.
do $$
begin
  perform pg_advisory_xact_lock(4151511);
  create table if not exists migrations (
    name text primary key,
    digest text not null,
    applied_at timestamptz not null default now()
  );
end
$$

-- name: migrations_exist
select to_regclass('migrations') is not null

-- name: lock_migrations
-- Held to the end of the transaction, also behind PgBouncer.
select pg_advisory_xact_lock(4151511)

-- name: list_migrations
select name, digest from migrations order by name

-- name: add_migration
-- $1 name, $2 digest (SHA-256 of the file, hex)
insert into migrations (name, digest) values ($1, $2)
