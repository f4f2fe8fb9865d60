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
-- Whether this database was ever migrated.
select to_regclass('migrations') is not null

-- name: lock_migrations
-- Held to the end of the transaction, also behind PgBouncer.
select pg_advisory_xact_lock(4151511)

-- name: list_migrations
-- What was applied.
select name, digest from migrations order by name

-- name: describe_database
-- What was applied, and whether this database takes no writes: a replica, or a primary after a failover.
select name, digest, current_setting('transaction_read_only')::boolean as read_only from migrations order by name

-- name: add_migration
-- See the name.
insert into migrations (name, digest) values (@name, @digest)
