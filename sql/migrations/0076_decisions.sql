-- Decisions of the fraud rules: rejected requests, allowed ones with a reason, and a sample of the others. They contain
-- counts, prices, blocks of numbers and networks, never an identifier or an address. Partitioned by day through the
-- time-ordered id, and dropped after 30 days.
create table if not exists decisions (
  tenant_id text collate "C" not null,
  id text collate "C" not null,
  decision text not null,                     -- allow, proof_required, other_channel, block
  is_enforced boolean not null,               -- false in shadow mode: the request was not rejected
  score real not null,
  reasons text[] not null,                    -- name, or name: figures
  features jsonb not null,
  scopes jsonb not null,                      -- the load of each scope
  rule_version smallint not null,
  request_id text,
  challenge_id text collate "C",              -- null where no code was sent
  message_id text collate "C",
  outcome text,                               -- verified, unverified, unknown; null: not known yet
  created_at timestamptz not null default now(),
  primary key (tenant_id, id)
) partition by range (id);

-- Read by settle_outcomes. Most rows have an outcome.
create index if not exists decisions_unsettled on decisions (id) where outcome is null;

-- A decision is stored even without a partition; it moves when the partition of its day is made.
create table if not exists decisions_rest partition of decisions default;

create or replace function make_decisions_partition(day date) returns boolean
language plpgsql
as $$
declare
  partition text := 'decisions_' || to_char(day, 'YYYY_MM_DD');
  low text := id_floor('fd', day::timestamp at time zone 'UTC');
  high text := id_floor('fd', (day + 1)::timestamp at time zone 'UTC');
begin
  perform pg_advisory_xact_lock(4151514);
  if to_regclass(partition) is not null then
    return false;
  end if;
  execute format('create table %I (like decisions including all)', partition);
  execute format(
    'with moved as (delete from decisions_rest where id >= %L and id < %L returning *) insert into %I select * from moved',
    low, high, partition);
  execute format('alter table decisions attach partition %I for values from (%L) to (%L)', partition, low, high);
  return true;
end
$$;

create or replace function drop_decisions_partitions(before date) returns integer
language plpgsql
as $$
declare
  partition text;
  dropped integer := 0;
begin
  perform pg_advisory_xact_lock(4151514);
  for partition in
    select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'decisions'::regclass and c.relname ~ '^decisions_\d{4}_\d{2}_\d{2}$'
      and to_date(right(c.relname, 10), 'YYYY_MM_DD') < before
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
    perform make_decisions_partition((now() at time zone 'UTC')::date + n);
  end loop;
end
$$;

-- Rejections of a scope: a row from the first rejection until no request was rejected for an hour. Workers add what they
-- counted every few seconds. `subject` is a block of numbers, a network or a country.
create table if not exists attacks (
  tenant_id text collate "C" not null,
  scope text collate "C" not null,
  subject text collate "C" not null,
  rejected integer not null,
  microdollars bigint not null,               -- the price of the messages that were not sent
  load real not null,                         -- the highest
  began_at timestamptz not null default now(),
  rejected_at timestamptz not null default now(),
  detected_at timestamptz,                    -- of the newest event attack.detected
  primary key (tenant_id, scope, subject)
) with (fillfactor = 70);
