-- Lists and exports of events. They only read, and may run on a replica. No page scans more than a bounded number of
-- events, however few of them its filters match.

-- name: list_events
-- Newest first. Ids contain their time, so a time range is a range of the primary key; clocks may differ by minutes.
select tenant_id, id, type, actor, subject, request_id, network, data::text as data, created_at, tx::text as tx
from (
  select * from events
  where tenant_id = @tenant_id and id < @before
    and id >= coalesce(id_floor('evt', @since::timestamptz - interval '15 minutes'), '')
    and id < coalesce(id_floor('evt', @until::timestamptz + interval '15 minutes'), 'evt_~')
  order by id desc limit @max_scanned
) as scanned
where (@types::text[] is null or type = any(@types)) and (@subject::text is null or subject = @subject)
  and (@actor::text is null or actor = @actor) and (@request_id::text is null or request_id = @request_id)
  and (@user_id::text is null or coalesce(data ->> 'user_id', subject) = @user_id)
  and (@since::timestamptz is null or created_at >= @since) and (@until::timestamptz is null or created_at < @until)
order by id desc limit @max_rows

-- name: last_scanned
-- The last event that a page scanned, if it scanned as many as it may.
select id from events
where tenant_id = @tenant_id and id < @before
  and id >= coalesce(id_floor('evt', @since::timestamptz - interval '15 minutes'), '')
  and id < coalesce(id_floor('evt', @until::timestamptz + interval '15 minutes'), 'evt_~')
order by id desc offset @max_scanned::int - 1 limit 1

-- name: count_events_of_user
-- Count the events of a user up to a bound, to know whether all of them may be read.
select count(*) as events from (
  select 1 from events where coalesce(data ->> 'user_id', subject) = @user_id limit @max_scanned
) as found

-- name: list_events_of_user
-- List the events that are about a user, newest first.
with mine as materialized (
  select * from events where coalesce(data ->> 'user_id', subject) = @user_id limit @max_scanned
)
select tenant_id, id, type, actor, subject, request_id, network, data::text as data, created_at, tx::text as tx
from mine
where tenant_id = @tenant_id and id < @before
  and (@types::text[] is null or type = any(@types)) and (@subject::text is null or subject = @subject)
  and (@actor::text is null or actor = @actor) and (@request_id::text is null or request_id = @request_id)
  and (@since::timestamptz is null or created_at >= @since) and (@until::timestamptz is null or created_at < @until)
order by id desc limit @max_rows

-- name: list_all_events
-- List the events of all tenants by transaction, newest first.
select tenant_id, id, type, actor, subject, request_id, network, data::text as data, created_at, tx::text as tx
from (
  select * from events
  where tx <= @before_tx::text::xid8 and (tx, id) < (@before_tx::text::xid8, @before::text)
    and id >= coalesce(id_floor('evt', @since::timestamptz - interval '15 minutes'), '')
    and id < coalesce(id_floor('evt', @until::timestamptz + interval '15 minutes'), 'evt_~')
  order by tx desc, id desc limit @max_scanned
) as scanned
where (@types::text[] is null or type = any(@types)) and (@subject::text is null or subject = @subject)
  and (@actor::text is null or actor = @actor) and (@request_id::text is null or request_id = @request_id)
  and (@user_id::text is null or coalesce(data ->> 'user_id', subject) = @user_id)
  and (@since::timestamptz is null or created_at >= @since) and (@until::timestamptz is null or created_at < @until)
order by scanned.tx desc, scanned.id desc limit @max_rows

-- name: last_scanned_of_all
-- Return the last event that a page of all tenants scanned, if it scanned as many as it may.
select tx::text::bigint as tx, id from events
where tx <= @before_tx::text::xid8 and (tx, id) < (@before_tx::text::xid8, @before::text)
  and id >= coalesce(id_floor('evt', @since::timestamptz - interval '15 minutes'), '')
  and id < coalesce(id_floor('evt', @until::timestamptz + interval '15 minutes'), 'evt_~')
order by events.tx desc, events.id desc offset @max_scanned::int - 1 limit 1

-- name: position_of_event
-- Return the position of an event in the order of exports.
select tx::text::bigint as tx, id from events where tenant_id = @tenant_id and id = @id

-- name: position_of_event_of_all
-- Return the position of an event of any tenant, or of the operator.
select e.tx::text::bigint as tx, e.id from (select id from tenants union all select 'operator') as t
cross join lateral (select * from events where tenant_id in (t.id, t.id || ':test') and id = @id) as e limit 1

-- name: export_final_events
-- Return the next final events of a tenant, or of all.
select tenant_id, id, type, actor, subject, request_id, network, data::text as data, created_at, tx::text as tx
from (
  select * from events
  where tx >= @tx::text::xid8 and (tx, id) > (@tx::text::xid8, @id::text)
    and tx < (select (pg_snapshot_xmin(pg_current_snapshot())::text::bigint + tx_offset)::text::xid8 from event_clock)
  order by tx, id limit @max_scanned
) as scanned
where @tenant_id::text is null or tenant_id = @tenant_id
order by scanned.tx, scanned.id limit @max_rows

-- name: next_export_position
-- The last event that a page of an export scanned, if it scanned as many as it may.
select tx::text::bigint as tx, id from events
where tx >= @tx::text::xid8 and (tx, id) > (@tx::text::xid8, @id::text)
  and tx < (select (pg_snapshot_xmin(pg_current_snapshot())::text::bigint + tx_offset)::text::xid8 from event_clock)
order by events.tx, events.id offset @max_scanned::int - 1 limit 1
