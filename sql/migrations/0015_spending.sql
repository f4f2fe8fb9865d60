-- What each tenant has sent and spent, by day (UTC), country and channel, in millionths of a US dollar. A counter is spread
-- over slots, one for a few connections each, so that logins of a busy tenant do not wait for each other; a reader adds
-- the slots up. A send that was given back is taken off again, if need be by a slot below zero.
create table if not exists spending (
  tenant_id text collate "C" not null,
  day date not null,
  country text not null,                      -- ISO 3166-1 alpha-2; empty for an email
  channel text not null check (channel in ('sms', 'email')),
  slot smallint not null,
  messages bigint not null,
  microdollars bigint not null,
  primary key (tenant_id, day, country, channel, slot)
) with (fillfactor = 50);                     -- room on the page, so that updates need no new index entries
create index if not exists spending_day on spending (day);

-- The same of today, in one row, for a tenant that has a budget: whoever holds the row's lock decides whether one more
-- message fits, so that no number of requests at once goes past the mark. Tenants without a budget have none, and wait
-- for nobody.
create table if not exists budgets (
  tenant_id text collate "C" primary key,
  day date not null,
  messages bigint not null,
  microdollars bigint not null,
  told text[] not null default '{}'           -- which marks of this day have been reached and told of
) with (fillfactor = 50);
