-- Move a tenant to a database of its own. The tables are read from the catalogue, so none is left out. `owner` is the
-- tenant; the rows of its sandbox move with it.

-- name: describe_tables
-- Each table with rows of tenants, and the statements that move the rows of one. A table that others refer to is updated in
-- place, because a deletion would reach their rows.
with tables as (
  select c.oid, c.relname::text as name, case c.relname when 'tenants' then 'id' else 'tenant_id' end as owner_column,
    exists (select from pg_constraint f where f.contype = 'f' and f.confrelid = c.oid) as is_referenced
  from pg_class c
  where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
    and c.relname <> all(@excluded::text[])
    and (c.relname = 'tenants' or exists (
      select from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped))
), parts as (
  select t.*,
    (select array_agg(a.attname::text order by a.attnum) from pg_attribute a
     where a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = '') as columns,
    (select array_agg(a.attname::text order by k.place) from pg_index x
     cross join lateral unnest(x.indkey::int2[]) with ordinality as k(number, place)
     join pg_attribute a on a.attrelid = t.oid and a.attnum = k.number
     where x.indrelid = t.oid and x.indisprimary) as key,
    -- Unique columns beside the key that may be null: two rows can exchange their values.
    (select array_agg(distinct a.attname::text) from pg_index x
     cross join lateral unnest(x.indkey::int2[]) as k(number)
     join pg_attribute a on a.attrelid = t.oid and a.attnum = k.number
     where x.indrelid = t.oid and x.indisunique and not x.indisprimary and not a.attnotnull) as unique_columns,
    (select coalesce(array_agg(distinct o.relname::text), '{}') from pg_constraint f join pg_class o on o.oid = f.confrelid
     where f.contype = 'f' and f.conrelid = t.oid and f.confrelid <> t.oid) as refers_to
  from tables t
), texts as (
  select p.*,
    (select string_agg(quote_ident(c), ', ' order by n) from unnest(columns) with ordinality as u(c, n)) as listed,
    (select string_agg('t.' || quote_ident(c), ', ' order by n) from unnest(columns) with ordinality as u(c, n)) as listed_t,
    (select string_agg(format('t.%I = k.%I', c, c), ' and ') from unnest(key) as u(c)) as same_key,
    (select string_agg(quote_ident(c), ', ' order by n) from unnest(key) with ordinality as u(c, n)) as key_list,
    (select string_agg(quote_literal(c), ', ' order by n) from unnest(key) with ordinality as u(c, n)) as key_names,
    (select string_agg(format('%I = excluded.%I', c, c), ', ') from unnest(columns) as u(c) where c <> all(key)) as changes,
    -- The operator's policy and lists apply to the tenant, too.
    format('%L, %L', @owner::text, @owner::text || ':test')
      || case when name in ('fraud_settings', 'fraud_lists') then format(', %L', 'operator') else '' end as owners
  from parts p
)
select name, columns, refers_to,
  format('create or replace trigger record_tenant_change before insert or update on %I for each row when (new.%I in (%s)) '
    'execute function record_tenant_change(%L, %L, %s)', name, owner_column, owners, @owner, name, key_names) as record_changes,
  format('create or replace trigger record_tenant_deletion before delete on %I for each row when (old.%I in (%s)) '
    'execute function record_tenant_change(%L, %L, %s)', name, owner_column, owners, @owner, name, key_names) as record_deletions,
  format('drop trigger if exists record_tenant_change on %I', name) as forget_changes,
  format('drop trigger if exists record_tenant_deletion on %I', name) as forget_deletions,
  format('select %s from %I where %I in (%s)', listed, name, owner_column, owners) as all_rows,
  format('select exists (select from %I)', name) as has_rows,
  format('truncate %I cascade', name) as empty,
  format('select %s from %I t join jsonb_populate_recordset(null::%I, $1::jsonb) k on %s', listed_t, name, name, same_key) as changed_rows,
  'moving_' || name as stage_name,
  format('create temp table if not exists %I (like %I) on commit delete rows', 'moving_' || name, name) as stage,
  format('delete from %I t using jsonb_populate_recordset(null::%I, $1::jsonb) k where %s', name, name, same_key)
    || case when is_referenced then format(' and not exists (select from %I k where %s)', 'moving_' || name, same_key) else '' end
    as delete_changed,
  case when is_referenced and unique_columns is not null then
    format('update %I t set %s from %I k where %s', name,
      (select string_agg(format('%I = null', c), ', ') from unnest(unique_columns) as u(c)), 'moving_' || name, same_key)
    end as release_unique,
  format('insert into %I (%s) select %s from %I', name, listed, listed, 'moving_' || name)
    || case when is_referenced then format(' on conflict (%s) do update set %s', key_list, changes) else '' end as insert_changed
from texts order by name

-- name: list_month_partitions
-- Calls that create the partitions which this database has, in another one.
select format('select make_%s_partition(%L)', p.relname,
  case p.relname when 'decisions' then to_date(right(c.relname, 10), 'YYYY_MM_DD') else to_date(right(c.relname, 7), 'YYYY_MM') end)
  as make
from pg_inherits i join pg_class c on c.oid = i.inhrelid join pg_class p on p.oid = i.inhparent
where p.relnamespace = current_schema()::regnamespace and p.relkind = 'p' and c.relname ~ '_\d{4}_\d{2}(_\d{2})?$'
order by 1

-- name: get_move
-- Return the move of a tenant in any state.
select move_id, state from tenant_moves where tenant_id = @owner

-- name: begin_move
-- Record a move in the source.
insert into tenant_moves (tenant_id, move_id, state) values (@owner, @move_id, 'copying')

-- name: begin_arrival
-- Record a move in the target.
insert into tenant_moves (tenant_id, move_id, state) values (@owner, @move_id, 'arriving')
on conflict (tenant_id) do update set move_id = excluded.move_id, state = 'arriving'

-- name: set_state
-- Set the state of a move that has not ended.
update tenant_moves set state = @state where tenant_id = @owner and state <> 'moved'

-- name: close_tenant
-- Close the tenant until a time: its requests get 503. It opens at that time even after a crash.
update tenant_moves set closed_until = clock_timestamp() + @seconds::float8 * interval '1 s' where tenant_id = @owner

-- name: freeze_tenant
-- Freeze the rows of the tenant, from the next statement until the tenant opens.
update tenant_moves set frozen_until = closed_until where tenant_id = @owner

-- name: open_tenant
-- Open the tenant again; the move continues later.
update tenant_moves set closed_until = '-infinity', frozen_until = '-infinity' where tenant_id = @owner and state <> 'moved'

-- name: wait_for_writers
-- Wait for the transactions that began while the tenant was open.
select pg_advisory_xact_lock(hashtextextended(@owner::text, 6002))

-- name: finish_move
-- Mark the tenant as moved, unless it has opened meanwhile. The caller holds the lock of `wait_for_writers`.
with moved as (
  update tenant_moves set state = 'moved', moved_at = clock_timestamp()
  where tenant_id = @owner and frozen_until > clock_timestamp()
  returning tenant_id, moved_at
), new_event as (
  insert into events (tenant_id, id, type, actor, subject)
  select tenant_id, @event_id, 'tenant.moved', 'operator', tenant_id from moved
)
select moved_at from moved

-- name: find_moved_event
-- Return the event of the move from the source.
select id as event_id from events where tenant_id = @owner and type = 'tenant.moved' order by id desc limit 1

-- name: repeat_moved_event
-- Write it in the target, too, where the tenant's events go on. It has a place of its own there.
insert into events (tenant_id, id, type, actor, subject)
values (@owner, @event_id, 'tenant.moved', 'operator', @owner)
on conflict (tenant_id, id) do nothing

-- name: exempt_from_recording
-- Neither record nor reject the changes of this transaction.
select set_config('auth1.moves_tenant', @owner, true)

-- name: silence_messages
-- Stop the outbox of the source from sending messages of the tenant.
update messages set attention_at = null where tenant_id in (@owner, @owner || ':test') and attention_at is not null

-- name: silence_webhooks
-- Stop the workers of the source from calling webhooks of the tenant.
update webhooks set due_at = null, is_enabled = false where tenant_id = @owner

-- name: count_sending
-- Count the messages that a process is sending.
select count(*) as messages from messages
where tenant_id in (@owner, @owner || ':test') and attention_at is not null and trying is not null and claimed_until > now()

-- name: next_changes
-- Return the keys of the next changed rows, by table.
with next as (
  select id, table_name, key from tenant_changes where tenant_id = @owner order by id limit @max_rows
)
select table_name, array_agg(id) as ids, jsonb_agg(distinct key)::text as keys from next group by table_name

-- name: forget_changed
-- Delete the records of changes that the target has.
delete from tenant_changes where tenant_id = @owner and id = any(@ids::bigint[])

-- name: forget_all_changed
-- Delete all records of changes, after the move or when it is aborted.
delete from tenant_changes where tenant_id = @owner

-- name: delete_move
-- Delete a move that was aborted.
delete from tenant_moves where tenant_id = @owner and state <> 'moved'

-- name: list_places
-- Return the places of the readers of events, and the next hour of the statistics.
select name, tx::text as tx, id, round from event_readers
union all
select 'message_hours', '0', extract(epoch from hour)::text, 0 from message_hours_next

-- name: set_place
-- Let a reader of the target continue at the place of the source's reader.
insert into event_readers (name, tx, id, round) values (@name, @tx::text::xid8, @id, @round)
on conflict (name) do update set tx = excluded.tx, id = excluded.id, round = excluded.round

-- name: set_hour
-- Let the statistics of the target continue at the hour of the source.
update message_hours_next set hour = to_timestamp(@epoch::text::float8)

-- name: continue_clock
-- Let new events of the target follow those that have moved.
select continue_event_clock()

-- name: close_database
-- The statement that lets every connection to the target read only, unless it asks for more.
select format('alter database %I set default_transaction_read_only = on', current_database()) as statement

-- name: open_database
-- Return the statement that lets new connections write.
select format('alter database %I reset default_transaction_read_only', current_database()) as statement

-- name: end_connections
-- End the connections that began before the change of the database.
select count(pg_terminate_backend(pid)) from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid() and usename = current_user
