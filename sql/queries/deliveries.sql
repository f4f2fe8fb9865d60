-- Deliveries of a webhook. Those of an event sort by the event's id, which contains its time. No list scans more than a
-- bounded number of rows.

-- name: list_deliveries
-- List deliveries, newest event first.
select d.event_id, d.type, d.state, d.attempts,
  case when d.state = 'pending' and w.is_enabled then greatest(d.due_at, w.paused_until) end as next_attempt_at,
  a.attempt, a.status, a.error, a.ms, a.answer
from (
  select * from (
    select * from deliveries
    where tenant_id = @tenant_id and webhook_id = @webhook_id and event_id < @before
      and event_id >= coalesce(id_floor('evt', @since::timestamptz), '') and event_id < coalesce(id_floor('evt', @until::timestamptz), 'evt_~')
    order by event_id desc limit @max_scanned
  ) as scanned
  where (@state::text is null or state = @state) and (@type::text is null or type = @type)
  order by event_id desc limit @max_rows
) as d
join webhooks w on w.tenant_id = @tenant_id and w.id = @webhook_id
left join lateral (
  select * from delivery_attempts a
  where a.tenant_id = d.tenant_id and a.webhook_id = d.webhook_id and a.event_id = d.event_id
  order by a.attempt desc limit 1
) as a on true
order by d.event_id desc

-- name: last_scanned_delivery
-- The last delivery that a page scanned, if it scanned as many as it may.
select event_id from deliveries
where tenant_id = @tenant_id and webhook_id = @webhook_id and event_id < @before
  and event_id >= coalesce(id_floor('evt', @since::timestamptz), '') and event_id < coalesce(id_floor('evt', @until::timestamptz), 'evt_~')
order by event_id desc offset @max_scanned::int - 1 limit 1

-- name: list_candidates
-- Deliveries of events of one millisecond: the id of a delivery is a digest of the event's.
select event_id from deliveries
where tenant_id = @tenant_id and webhook_id = @webhook_id and event_id >= @prefix and event_id < @prefix || '~'
order by event_id limit @max_rows

-- name: find_delivery
-- Find a delivery with its last call.
select d.event_id, d.type, d.state, d.attempts,
  case when d.state = 'pending' and w.is_enabled then greatest(d.due_at, w.paused_until) end as next_attempt_at,
  a.attempt, a.status, a.error, a.ms, a.answer
from deliveries d
join webhooks w on w.tenant_id = d.tenant_id and w.id = d.webhook_id
left join lateral (
  select * from delivery_attempts a
  where a.tenant_id = d.tenant_id and a.webhook_id = d.webhook_id and a.event_id = d.event_id
  order by a.attempt desc limit 1
) as a on true
where d.tenant_id = @tenant_id and d.webhook_id = @webhook_id and d.event_id = @event_id

-- name: list_attempts
-- List the newest calls of a delivery, newest first.
select attempt, started_at, url, status, error, ms, answer from delivery_attempts
where tenant_id = @tenant_id and webhook_id = @webhook_id and event_id = @event_id
order by attempt desc limit @max_rows

-- name: lock_webhook
-- Lock a webhook before its deliveries. No row if there is no such webhook.
select is_enabled from webhooks where tenant_id = @tenant_id and id = @webhook_id and deleted_at is null for no key update

-- name: wake_webhook
-- Let a worker look for pending deliveries. In the transaction that makes them pending.
update webhooks set due_at = now() where tenant_id = @tenant_id and id = @webhook_id

-- name: replay_delivery
-- Make a delivery due now, with a new back-off. If a call is under way, its result decides first.
update deliveries
set state = 'pending', attempts_before = attempts, due_at = greatest(now(), claimed_until), finished_at = null
where tenant_id = @tenant_id and webhook_id = @webhook_id and event_id = @event_id
returning event_id

-- name: replay_deliveries
-- The next ended deliveries of a state, oldest first, spaced in time after those of earlier requests, and wake the webhook.
-- A constant in each branch selects its index.
with endpoint as (
  select greatest(now(), replayed_until) as begins_at from webhooks where tenant_id = @tenant_id and id = @webhook_id
), chosen as (
  select array_agg(event_id order by event_id) as ids
  from (
    (
      select event_id from deliveries
      where @state::text <> 'delivered' and tenant_id = @tenant_id and webhook_id = @webhook_id
        and state in ('failed', 'cancelled') and state = @state
        and event_id >= coalesce(id_floor('evt', @since::timestamptz), '') and event_id < coalesce(id_floor('evt', @until::timestamptz), 'evt_~')
        and event_id > @after
      order by event_id limit @max_rows
    )
    union all
    (
      select event_id from deliveries
      where @state::text = 'delivered' and tenant_id = @tenant_id and webhook_id = @webhook_id and state = 'delivered'
        and event_id >= coalesce(id_floor('evt', @since::timestamptz), '') and event_id < coalesce(id_floor('evt', @until::timestamptz), 'evt_~')
        and event_id > @after
      order by event_id limit @max_rows
    )
  ) as found
), replayed as (
  update deliveries d
  set state = 'pending', attempts_before = d.attempts, finished_at = null,
    due_at = (select begins_at from endpoint)
      + array_position((select ids from chosen), d.event_id) * @interval_ms::int * interval '1 ms'
  where d.tenant_id = @tenant_id and d.webhook_id = @webhook_id and d.event_id = any((select ids from chosen)::text[])
    and d.state = @state
  returning 1
), woken as (
  update webhooks w
  set due_at = now(), replayed_until = e.begins_at + cardinality(c.ids) * @interval_ms::int * interval '1 ms'
  from endpoint e, chosen c
  where w.tenant_id = @tenant_id and w.id = @webhook_id and cardinality(c.ids) > 0
)
select (select count(*) from replayed) as deliveries, coalesce(cardinality(ids), 0) as chosen, ids[cardinality(ids)] as last
from chosen

-- name: cancel_delivery
-- Cancel a pending delivery, unless a call is under way. `is_cancelled` is false if it has ended or is under way.
with found as (
  select state, claimed_until from deliveries
  where tenant_id = @tenant_id and webhook_id = @webhook_id and event_id = @event_id for no key update
), cancelled as (
  update deliveries set state = 'cancelled', finished_at = now()
  where tenant_id = @tenant_id and webhook_id = @webhook_id and event_id = @event_id
    and (select state = 'pending' and coalesce(claimed_until, '-infinity') < now() from found)
  returning 1
)
select exists (select from cancelled) as is_cancelled, state from found

-- name: cancel_deliveries
-- The next pending deliveries, except those with a call under way. A branch for each index of pending rows. Without a time
-- range no replay is left, so the next one begins at once.
with chosen as (
  select array_agg(event_id) as ids
  from (
    (
      select event_id from deliveries
      where tenant_id = @tenant_id and webhook_id = @webhook_id and state = 'pending' and attempts = 0
        and event_id >= coalesce(id_floor('evt', @since::timestamptz), '') and event_id < coalesce(id_floor('evt', @until::timestamptz), 'evt_~')
        and coalesce(claimed_until, '-infinity') < now()
      order by tenant_id, webhook_id, tx, event_id limit @max_rows
    )
    union all
    (
      select event_id from deliveries
      where tenant_id = @tenant_id and webhook_id = @webhook_id and state = 'pending' and attempts > 0
        and event_id >= coalesce(id_floor('evt', @since::timestamptz), '') and event_id < coalesce(id_floor('evt', @until::timestamptz), 'evt_~')
        and coalesce(claimed_until, '-infinity') < now()
      order by tenant_id, webhook_id, due_at limit @max_rows
    )
  ) as found
), cancelled as (
  update deliveries d set state = 'cancelled', finished_at = now()
  where d.tenant_id = @tenant_id and d.webhook_id = @webhook_id and d.event_id = any((select ids from chosen)::text[])
    and d.state = 'pending' and coalesce(d.claimed_until, '-infinity') < now()
  returning 1
), without_replays as (
  update webhooks set replayed_until = null
  where tenant_id = @tenant_id and id = @webhook_id and replayed_until is not null
    and @since::timestamptz is null and @until::timestamptz is null
)
select count(*) as deliveries from cancelled

-- name: insert_test
-- A test is no event: it brings its body. It is sent before what is pending.
insert into deliveries (tenant_id, webhook_id, event_id, type, is_sandbox, tx, body)
select tenant_id, id, @event_id, @type, sandbox, '0', @body from webhooks
where tenant_id = @tenant_id and id = @webhook_id
returning event_id

-- name: find_content
-- The body that a delivery brings, or the row of its event. No columns of an event that was purged.
select d.body, d.event_id, e.tenant_id as event_tenant, e.type, e.actor, e.subject, e.request_id, e.data::text as data, e.created_at
from deliveries d
left join events e
  on e.tenant_id = d.tenant_id || case when d.is_sandbox then ':test' else '' end and e.id = d.event_id and d.body is null
where d.tenant_id = @tenant_id and d.webhook_id = @webhook_id and d.event_id = @event_id
