-- Retention of events. A purge first writes `audit.purged` into the chain of the tenant. Once that event is sealed, the
-- events below its `before_id` are deleted; a verification accepts that they are missing. Readers come first: no event is
-- deleted that one of them has not read.

-- name: list_expired_tenants
-- Tenants with events older than their events_retention_days, by whole days, and their newest mark.
select x.tenant_id, x.cutoff, x.moment, mark.before_id as marked_below, coalesce(mark.is_sealed, false) as is_sealed
from (
  select t.id || s.suffix as tenant_id, days.moment, id_floor('evt', days.moment) as cutoff
  from tenants t
  cross join (values (''), (':test')) as s(suffix)
  cross join lateral (
    select date_trunc('day', now() - (t.settings ->> 'events_retention_days')::int * interval '1 day', 'UTC') as moment
  ) as days
  where jsonb_typeof(t.settings -> 'events_retention_days') = 'number'
) as x
cross join lateral (select e.id from events e where e.tenant_id = x.tenant_id order by e.id limit 1) as oldest
left join lateral (
  select (e.data ->> 'before_id') collate "C" as before_id, (e.tx, e.id) <= (select r.tx, r.id from event_readers r where r.name = 'seals') as is_sealed
  from (select * from events where coalesce(data ->> 'user_id', subject) = x.tenant_id offset 0) as e
  where e.tenant_id = x.tenant_id and e.type = 'audit.purged' order by 1 desc limit 1
) as mark on true
where oldest.id < x.cutoff and x.tenant_id > @after order by x.tenant_id limit @max_rows

-- name: find_expired_month
-- Return the end of the months to drop, if any partition lies before it.
select id_floor('evt', m.moment) as cutoff, m.moment
from (
  select (date_trunc('month', now() at time zone 'UTC') - make_interval(months => @months)) at time zone 'UTC' as moment
) as m
where exists (
  select from pg_inherits i join pg_class c on c.oid = i.inhrelid
  where i.inhparent = 'events'::regclass and c.relname ~ '^events_\d{4}_\d{2}$'
    and (to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month') at time zone 'UTC' <= m.moment
)

-- name: list_unmarked_tenants
-- Tenants with events before the end of the months to drop, and without a sealed mark for them.
with recursive with_events as (
  (select tenant_id from events where id < @cutoff order by tenant_id limit 1)
  union all
  select (select e.tenant_id from events e where e.id < @cutoff and e.tenant_id > w.tenant_id order by e.tenant_id limit 1)
  from with_events w where w.tenant_id is not null
)
select w.tenant_id, @cutoff::text as cutoff, @moment::timestamptz as moment, mark.before_id as marked_below,
  coalesce(mark.is_sealed, false) as is_sealed
from with_events w
left join lateral (
  select (e.data ->> 'before_id') collate "C" as before_id, (e.tx, e.id) <= (select r.tx, r.id from event_readers r where r.name = 'seals') as is_sealed
  from (select * from events where coalesce(data ->> 'user_id', subject) = w.tenant_id offset 0) as e
  where e.tenant_id = w.tenant_id and e.type = 'audit.purged' order by 1 desc limit 1
) as mark on true
where w.tenant_id is not null and (coalesce(mark.before_id, '') < @cutoff or not mark.is_sealed)
limit @max_rows

-- name: mark_purges
-- Write the marks. Workers that run at once write the same mark twice at most.
with marked as (
  insert into events as e (tenant_id, id, type, actor, subject, data)
  select m.tenant_id, m.event_id, 'audit.purged', 'auth1', m.tenant_id,
    jsonb_build_object('before_id', @cutoff::text, 'before', to_char(@moment::timestamptz at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), 'reason', @reason::text)
  from unnest(@tenant_ids::text[], @event_ids::text[]) as m(tenant_id, event_id)
  returning event_json(e) as event
)
select json_agg(event)::text as events from marked

-- name: drop_partitions
-- Drop partitions of events after the retention period.
select drop_events_partitions((date_trunc('month', now() at time zone 'UTC') - make_interval(months => @months))::date)

-- name: purge_events
-- Delete events below a sealed mark that every reader has read.
with old as (
  select tenant_id, id from events
  where tenant_id = @tenant_id and id < @before
    and (tx, id) <= (select r.tx, r.id from event_readers r where r.name <> 'heads' order by r.tx, r.id limit 1)
  order by id limit @max_rows for update skip locked
), deleted as (
  delete from events e using old where e.tenant_id = @tenant_id and e.id = old.id and e.id < @before returning 1
)
select count(*) as purged from deleted
