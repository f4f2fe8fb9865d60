-- Facts in the past tense: the audit log and the webhooks are two readers of this table. It is only ever inserted into,
-- and partitioned by month through its time-ordered id. Events name people by ids only.
create table if not exists events (
  tenant_id text collate "C" not null,
  id text collate "C" not null,
  type text not null,
  actor text not null,                        -- the key, user or operator who did it
  subject text collate "C" not null,          -- the id of what it is about
  data jsonb not null default '{}',
  created_at timestamptz not null default now(),
  primary key (tenant_id, id)
) partition by range (id);

-- Nothing is refused for want of a partition; what lands here moves when its month is made.
create table if not exists events_rest partition of events default;

create or replace function make_events_partition(month date) returns boolean
language plpgsql
as $$
declare
  partition text := 'events_' || to_char(month, 'YYYY_MM');
  low text := id_floor('evt', month::timestamp at time zone 'UTC');
  high text := id_floor('evt', (month + interval '1 month') at time zone 'UTC');
begin
  perform pg_advisory_xact_lock(4151512);
  if to_regclass(partition) is not null then
    return false;
  end if;
  execute format('create table %I (like events including all)', partition);
  execute format(
    'with moved as (delete from events_rest where id >= %L and id < %L returning *) insert into %I select * from moved',
    low, high, partition);
  execute format('alter table events attach partition %I for values from (%L) to (%L)', partition, low, high);
  return true;
end
$$;

create or replace function drop_events_partitions(before date) returns integer
language plpgsql
as $$
declare
  partition text;
  dropped integer := 0;
begin
  perform pg_advisory_xact_lock(4151512);
  for partition in
    select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'events'::regclass and c.relname ~ '^events_\d{4}_\d{2}$'
      and to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month' <= before
  loop
    execute format('drop table %I', partition);
    dropped := dropped + 1;
  end loop;
  return dropped;
end
$$;

do $$
begin
  for n in 0..2 loop
    perform make_events_partition((date_trunc('month', now() at time zone 'UTC') + make_interval(months => n))::date);
  end loop;
end
$$;
