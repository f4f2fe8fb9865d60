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
-- Return whether this database was ever migrated.
select to_regclass('migrations') is not null

-- name: lock_migrations
-- Take the lock of migrations until the end of the transaction, which also works behind PgBouncer.
select pg_advisory_xact_lock(4151511)

-- name: limit_lock_waits
-- Limit the waits for locks until the end of the transaction.
set local lock_timeout = '2s'

-- name: allow_idle
-- Let the transaction be idle without a time limit.
set local idle_in_transaction_session_timeout = 0

-- name: try_lock_builds
-- Try to take the lock of index builds until the end of the transaction.
select pg_try_advisory_xact_lock(4151513)

-- name: list_partitions
-- List the partitions of events.
select quote_ident(c.relname) as name from pg_inherits i join pg_class c on c.oid = i.inhrelid
where i.inhparent = 'events'::regclass order by 1

-- name: list_invalid_indexes
-- List the indexes of an interrupted build.
select c.relname as name from pg_index x join pg_class c on c.oid = x.indexrelid
where not x.indisvalid and c.relkind = 'i' and c.relnamespace = current_schema()::regnamespace

-- name: list_filled_tables
-- List the tables and partitions with rows.
select quote_ident(c.relname) as name from pg_class c
where c.relnamespace = current_schema()::regnamespace and c.relkind = 'r' and pg_relation_size(c.oid) > 0

-- name: list_migrations
-- List the applied migrations.
select name, digest from migrations order by name

-- name: describe_database
-- What was applied, and whether this database takes no writes: a replica, or a primary after a failover.
select name, digest, current_setting('transaction_read_only')::boolean as read_only from migrations order by name

-- name: add_migration
-- Record an applied migration, with the digest of its file.
insert into migrations (name, digest) values (@name, @digest)

-- name: continue_after_restore
-- Continue the order of events after a restore into another cluster, whose transaction ids are lower.
select continue_event_clock()
