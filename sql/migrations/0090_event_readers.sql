-- Readers of events: how far each has read, in the order of (tx, id). One process at a time holds the row of a reader.
create table if not exists event_readers (
  name text primary key,
  tx xid8 not null default '0',               -- of the last event that was read
  id text collate "C" not null default '',
  round bigint not null default 0             -- of the last round that found events
);
insert into event_readers (name) values ('seals'), ('heads') on conflict do nothing;

-- The distance between `events.tx` and the transaction ids of this cluster. A restore into another cluster begins with low
-- transaction ids, so the events of that cluster get this much added to theirs.
create table if not exists event_clock (
  is_single boolean primary key default true check (is_single),
  tx_offset bigint not null default 0
);
insert into event_clock default values on conflict do nothing;

-- After a restore into another cluster, let the numbers of new transactions follow those of the restored events. Returns
-- whether that was necessary.
create or replace function continue_event_clock() returns boolean
language plpgsql
as $$
declare
  highest bigint;
  next bigint;
  tx_offset bigint;
begin
  select c.tx_offset into strict tx_offset from event_clock c for update;
  select greatest((select max(tx) from events)::text::bigint, (select max(r.tx) from event_readers r)::text::bigint) into highest;
  next := pg_snapshot_xmax(pg_current_snapshot())::text::bigint;
  if highest is null or highest < next + tx_offset then
    return false;
  end if;
  lock table events in access exclusive mode;
  select greatest(highest, (select max(tx) from events)::text::bigint) into highest;
  next := pg_snapshot_xmin(pg_current_snapshot())::text::bigint;
  tx_offset := highest + 1 - next;
  update event_clock c set tx_offset = continue_event_clock.tx_offset;
  execute format('alter table events alter column tx set default (pg_current_xact_id()::text::bigint + %s)::text::xid8', tx_offset);
  return true;
end
$$;

-- A seal fixes a run of a tenant's events: their ids (16 bytes each) and digests (32 bytes each) in the order of (tx, id),
-- and the head of the chain so far. Seals of one round have the same `round`.
create table if not exists event_seals (
  tenant_id text collate "C" not null,
  seq bigint not null,
  round bigint not null,
  first_tx xid8 not null,                     -- of its first and its last event; of an empty seal those of the seal before
  last_tx xid8 not null,
  last_id text collate "C" not null,
  events int not null,
  ids bytea not null,
  leaves bytea not null,
  root bytea not null,
  head bytea not null,
  mac bytea not null,
  key bytea not null,                         -- identifies the key of the mac
  sealed_at timestamptz not null,
  primary key (tenant_id, seq)
);
alter table event_seals alter column ids set storage external;
alter table event_seals alter column leaves set storage external;
create index if not exists event_seals_round on event_seals (round, tenant_id);
