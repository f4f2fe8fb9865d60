-- Webhooks: the endpoints of tenants, the events on their way to them, and the calls.
--
-- Locks: the row of a webhook first, then its deliveries. A statement that locks several webhooks locks them in the order
-- of the primary key, or skips locked ones.

-- An endpoint. `events` are types, or `*`. Secrets are encrypted with the id as context. A sandbox endpoint receives the
-- events of the sandbox, the others those of the tenant itself.
--
-- Queue: a worker leases endpoints whose `due_at`, `paused_until` and `leased_until` have passed, and sets `due_at` to the
-- end of the lease. Each statement that makes a delivery pending sets `due_at` to now. At the end of a lease a changed
-- `due_at` stays; otherwise it becomes the time of the next pending delivery, null without one. So no delivery is forgotten.
create table if not exists webhooks (
  tenant_id text collate "C" not null,
  id text collate "C" not null,
  url text not null,
  events text[] not null,
  sandbox boolean not null default false,
  secret bytea not null,
  previous_secret bytea,                      -- signs too until `previous_secret_until`
  previous_secret_until timestamptz,
  first_tx xid8 not null,                     -- it receives events from this transaction on: that of its own creation
  is_enabled boolean not null default true,
  disabled_reason text,                       -- `gone` (410), `failing` (five days), `caller`; null while enabled
  failing_since timestamptz,                  -- the first failed attempt after the last success
  failures integer not null default 0,        -- failed attempts in a row
  due_at timestamptz,                         -- null: nothing is pending
  paused_until timestamptz not null default '-infinity',  -- after 429, 502 and 504
  leased_until timestamptz not null default '-infinity',
  lease text,                                 -- of the worker that has leased it
  created_at timestamptz not null default now(),
  deleted_at timestamptz,                     -- its deliveries are purged in steps, then the row
  primary key (tenant_id, id)
) with (fillfactor = 70);
create index if not exists webhooks_due on webhooks (due_at) where is_enabled and deleted_at is null and due_at is not null;
create index if not exists webhooks_deleted on webhooks (deleted_at) where deleted_at is not null;

-- An event on its way to an endpoint: one row per webhook and event. The body is made from the row of the event at each
-- attempt; only a test, which is no event, brings its own. First attempts leave in the order of (tx, event_id).
create table if not exists deliveries (
  tenant_id text collate "C" not null,        -- of the webhook
  webhook_id text collate "C" not null,
  event_id text collate "C" not null,
  type text not null,
  is_sandbox boolean not null default false,  -- the event's tenant is `tenant_id:test`
  tx xid8 not null,                           -- of the event; 0: of a test
  state text not null default 'pending' check (state in ('pending', 'delivered', 'failed', 'cancelled')),
  attempts integer not null default 0,        -- all of them
  attempts_before integer not null default 0, -- those before it was replayed: the back-off begins again
  due_at timestamptz not null default now(),
  claimed_until timestamptz,                  -- an attempt is under way
  finished_at timestamptz,                    -- null while pending
  body text,                                  -- of a test
  primary key (tenant_id, webhook_id, event_id)
);
-- Each pending row is in one of these.
create index if not exists deliveries_first on deliveries (tenant_id, webhook_id, tx, event_id)
  where state = 'pending' and attempts = 0;
create index if not exists deliveries_again on deliveries (tenant_id, webhook_id, due_at)
  where state = 'pending' and attempts > 0;

-- The calls, only ever inserted; partitioned by month.
create table if not exists delivery_attempts (
  tenant_id text collate "C" not null,
  webhook_id text collate "C" not null,
  event_id text collate "C" not null,
  attempt integer not null,                   -- from 1
  started_at timestamptz not null,            -- the time of `webhook-timestamp`
  url text not null,
  status integer,                             -- null: no answer
  error text,                                 -- a short name; null after a success
  ms integer not null,
  answer text,                                -- its first 1 KiB; bytes that are not UTF-8, and NUL, replaced
  primary key (tenant_id, webhook_id, event_id, attempt, started_at)
) partition by range (started_at);

-- An attempt is stored even without a partition; it moves when the partition of its month is made.
create table if not exists delivery_attempts_rest partition of delivery_attempts default;

create or replace function make_delivery_attempts_partition(month date) returns boolean
language plpgsql
as $$
declare
  partition text := 'delivery_attempts_' || to_char(month, 'YYYY_MM');
  low timestamptz := month::timestamp at time zone 'UTC';
  high timestamptz := (month + interval '1 month') at time zone 'UTC';
begin
  perform pg_advisory_xact_lock(4151515);
  if to_regclass(partition) is not null then
    return false;
  end if;
  execute format('create table %I (like delivery_attempts including all)', partition);
  execute format(
    'with moved as (delete from delivery_attempts_rest where started_at >= %L and started_at < %L returning *) insert into %I select * from moved',
    low, high, partition);
  execute format('alter table delivery_attempts attach partition %I for values from (%L) to (%L)', partition, low, high);
  return true;
end
$$;

create or replace function drop_delivery_attempts_partitions(before timestamptz) returns integer
language plpgsql
as $$
declare
  partition text;
  dropped integer := 0;
begin
  perform pg_advisory_xact_lock(4151515);
  for partition in
    select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'delivery_attempts'::regclass and c.relname ~ '^delivery_attempts_\d{4}_\d{2}$'
      and (to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month') at time zone 'UTC' <= before
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
    perform make_delivery_attempts_partition(
      (date_trunc('month', now() at time zone 'UTC') + make_interval(months => n))::date);
  end loop;
end
$$;
