-- What became of messages, added up by the hour once nothing more is expected to be heard of them: statistics of a month
-- then need not read each message. Those of sandboxes are not among them.
create table if not exists message_hours (
  tenant_id text collate "C" not null,
  hour timestamptz not null,
  channel text not null,
  country text not null,                      -- empty for an email
  provider text not null,
  state text not null,
  delivery_s smallint not null,               -- whole seconds until it was delivered, rounded up; -1: no receipt said so
  messages integer not null,
  verified integer not null,                  -- whose challenge was answered
  microdollars bigint not null,
  primary key (tenant_id, hour, channel, country, provider, state, delivery_s)
);

-- One row: the hour that is to be added up next. All before it are done.
create table if not exists message_hours_next (
  tenant_id text collate "C" primary key default 'all' check (tenant_id = 'all'),
  hour timestamptz not null
);
insert into message_hours_next (hour)
select coalesce((select date_trunc('hour', min(created_at), 'UTC') from messages), date_trunc('hour', now(), 'UTC'))
on conflict do nothing;

-- Whole seconds between a message and its delivery, in minutes beyond the first five: at most a few hundred values.
create or replace function delivery_s(created_at timestamptz, delivered_at timestamptz) returns smallint
language sql immutable parallel safe
as $$
  select case
    when delivered_at is null then -1
    when delivered_at <= created_at then 0
    when delivered_at <= created_at + interval '5 min' then ceil(extract(epoch from delivered_at - created_at))
    else least(ceil(extract(epoch from delivered_at - created_at) / 60) * 60, 32760) end::smallint
$$;
