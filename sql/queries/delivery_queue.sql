-- The queue of deliveries. A worker leases an endpoint, claims some of its deliveries, calls, and records the results.
-- No lock is held during a call. Migration 0100 describes `due_at` of an endpoint, and the order of locks.

-- name: lease_endpoints
-- Lease endpoints with something due, the longest waiting first. Endpoints that keep failing have their own number, so that
-- they never delay the others. A wake-up changes `due_at`, which is the end of the lease meanwhile.
with healthy as (
  select tenant_id, id from webhooks
  where is_enabled and deleted_at is null and due_at is not null and due_at <= now()
    and paused_until <= now() and leased_until <= now() and failures < @failing_from
  order by due_at limit @max_healthy for no key update skip locked
), failing as (
  select tenant_id, id from webhooks
  where is_enabled and deleted_at is null and due_at is not null and due_at <= now()
    and paused_until <= now() and leased_until <= now() and failures >= @failing_from
  order by due_at limit greatest(0, least(@max_failing::int, @max_rows::int - (select count(*) from healthy)))
  for no key update skip locked
)
update webhooks w
set leased_until = now() + @lease_s::float8 * interval '1 s', due_at = now() + @lease_s::float8 * interval '1 s', lease = @lease
from (select * from healthy union all select * from failing) as c
where w.tenant_id = c.tenant_id and w.id = c.id
returning w.tenant_id, w.id as webhook_id, w.failures

-- name: renew_lease
-- Extend a lease. No row once another worker has it.
update webhooks
set leased_until = now() + @lease_s::float8 * interval '1 s',
  due_at = case when due_at = leased_until then now() + @lease_s::float8 * interval '1 s' else due_at end
where tenant_id = @tenant_id and id = @webhook_id and lease = @lease
returning failures

-- name: claim_deliveries
-- Claim deliveries that are due: first attempts in chain order, later ones by time. Of `max_rows`, `max_again` are for later
-- attempts while first ones wait, so that neither holds up the other. One row without a delivery when nothing is due; no row
-- when the endpoint is disabled, deleted, paused or leased by another worker.
with endpoint as (
  select tenant_id, id, url, failures, secret, case when previous_secret_until > now() then previous_secret end as previous_secret
  from webhooks
  where tenant_id = @tenant_id and id = @webhook_id and lease = @lease and leased_until > now()
    and is_enabled and deleted_at is null and paused_until <= now()
), firsts as (
  select event_id, row_number() over (order by tx, event_id) as place from (
    select event_id, tx from deliveries
    where tenant_id = @tenant_id and webhook_id = @webhook_id and state = 'pending' and attempts = 0
      and due_at <= now() and coalesce(claimed_until, '-infinity') < now() and exists (select from endpoint)
    order by tx, event_id limit @max_rows for no key update skip locked
  ) as found
), again as (
  select event_id, row_number() over (order by due_at) as place from (
    select event_id, due_at from deliveries
    where tenant_id = @tenant_id and webhook_id = @webhook_id and state = 'pending' and attempts > 0
      and due_at <= now() and coalesce(claimed_until, '-infinity') < now() and exists (select from endpoint)
    order by due_at limit @max_rows for no key update skip locked
  ) as found
), chosen as (
  select event_id from (
    select event_id, place + @max_again::int as turn from firsts
    union all
    select event_id, case when place <= @max_again::int then place else place + @max_rows::int + @max_again::int end from again
  ) as due
  order by turn limit @max_rows
), claimed as (
  update deliveries d set claimed_until = now() + @claim_s::float8 * interval '1 s'
  from chosen c
  where d.tenant_id = @tenant_id and d.webhook_id = @webhook_id and d.event_id = c.event_id
  returning d.tenant_id, d.event_id, d.tx, d.is_sandbox, d.attempts, d.attempts_before, d.claimed_until, d.body
)
select w.url, w.failures, w.secret, w.previous_secret,
  c.event_id, c.attempts, c.attempts_before, c.claimed_until, c.body, e.tenant_id as event_tenant, e.type, e.actor, e.subject, e.request_id,
  e.data::text as data, e.created_at
from endpoint w
left join claimed c on true
left join events e
  on e.tenant_id = c.tenant_id || case when c.is_sandbox then ':test' else '' end and e.id = c.event_id and c.body is null
order by c.attempts > 0, c.tx, c.event_id

-- name: record_attempts
-- Record calls and what follows for the endpoint: the failures in a row, a pause, and its end after 410 or after five days
-- of nothing but failures. `failures` are those after the last success, if `has_success`. Calls of an earlier URL do not count.
-- A claim is known by its end: a result whose claim has lapsed and is another worker's changes nothing. A delivery that was
-- replayed during a call which failed begins again at once.
with locked as (
  select * from webhooks where tenant_id = @tenant_id and id = @webhook_id for no key update
), results as (
  select * from unnest(
    @event_ids::text[], @claims::timestamptz[], @attempts::int[], @states::text[], @retry_s::float8[],
    @started_at::timestamptz[], @statuses::int[], @errors::text[], @ms::int[], @answers::text[]
  ) as r (event_id, claim, attempt, state, retry_s, started_at, status, error, ms, answer)
), recorded as (
  update deliveries d
  set (attempts, claimed_until, state, due_at, finished_at) = (
    select d.attempts + 1, null::timestamptz, case when begins_again then 'pending' else r.state end,
      case when begins_again then now() when r.state = 'pending' then now() + r.retry_s * interval '1 s' else d.due_at end,
      case when not begins_again and r.state <> 'pending' then now() end
    from (select r.state <> 'delivered' and r.attempt <> d.attempts - d.attempts_before + 1 as begins_again) as replayed
  )
  from results r, locked l
  where d.tenant_id = l.tenant_id and d.webhook_id = l.id and d.event_id = r.event_id and d.state = 'pending'
    and d.claimed_until = r.claim
  returning d.event_id, d.attempts
), stored as (
  insert into delivery_attempts (tenant_id, webhook_id, event_id, attempt, started_at, url, status, error, ms, answer)
  select @tenant_id, @webhook_id, r.event_id, d.attempts, r.started_at, @url, r.status, r.error, r.ms, r.answer
  from results r join recorded d on d.event_id = r.event_id
  on conflict do nothing
), counted as (
  select l.tenant_id, l.id, l.failures as failures_before,
    case when @has_success::boolean then 0 else l.failures end + @failures::int as failures,
    case when @failures::int = 0 and @has_success then null
      when @failures::int > 0 and (@has_success or l.failing_since is null) then @first_failure::timestamptz
      else l.failing_since end as failing_since
  from locked l where l.url = @url and l.is_enabled and l.deleted_at is null
), judged as (
  select c.*, case when @is_gone::boolean then 'gone'
    when c.failures >= @failing_attempts::int and c.failing_since <= now() - @failing_s::float8 * interval '1 s' then 'failing' end as reason
  from counted c
), updated as (
  update webhooks w
  set failures = j.failures, failing_since = j.failing_since, is_enabled = j.reason is null, disabled_reason = j.reason,
    paused_until = case when @pause_s::float8 > 0 then now() + @pause_s * interval '1 s' else w.paused_until end
  from judged j
  where w.tenant_id = j.tenant_id and w.id = j.id and (j.failures > 0 or j.failures_before > 0 or j.reason is not null or @pause_s > 0)
  returning w.tenant_id, w.id, w.disabled_reason
), new_event as (
  insert into events as e (tenant_id, id, type, actor, subject, data)
  select tenant_id, @disabled_event_id, 'webhook.disabled', 'auth1', id, jsonb_build_object('reason', disabled_reason)
  from updated where disabled_reason is not null
  returning event_json(e) as event
)
select j.failures, (select json_agg(event)::text from new_event) as events from judged j

-- name: release_claims
-- Give back deliveries whose calls were cancelled: another worker sends them at once.
update deliveries d set claimed_until = null
from unnest(@event_ids::text[], @claims::timestamptz[]) as c (event_id, claim)
where d.tenant_id = @tenant_id and d.webhook_id = @webhook_id and d.event_id = c.event_id and d.claimed_until = c.claim

-- name: release_endpoint
-- End a lease. `due_at` becomes now (`is_due`) or the time of the next pending delivery. A wake-up during the lease has
-- changed `due_at`, which then stays. Replayed first attempts are spaced in time: the earliest is among the first rows.
update webhooks w
set leased_until = '-infinity', lease = null,
  due_at = case when w.due_at <> w.leased_until then w.due_at when @is_due::boolean then now() else least(
    (
      select min(due) from (
        select greatest(d.due_at, d.claimed_until) as due from deliveries d
        where d.tenant_id = @tenant_id and d.webhook_id = @webhook_id and d.state = 'pending' and d.attempts = 0
        order by d.tx, d.event_id limit 100
      ) as firsts
    ),
    (
      select min(due) from (
        select greatest(d.due_at, d.claimed_until) as due from deliveries d
        where d.tenant_id = @tenant_id and d.webhook_id = @webhook_id and d.state = 'pending' and d.attempts > 0
        order by d.due_at limit 100
      ) as again
    )
  ) end
where w.tenant_id = @tenant_id and w.id = @webhook_id and w.lease = @lease

-- name: measure_deliveries
-- The pending deliveries of endpoints that work and of those that keep failing, and how long the oldest is overdue. Counts
-- stop at a bound for each endpoint.
select coalesce(sum(first.pending + again.pending) filter (where failures < @failing_from), 0)::bigint as healthy,
  coalesce(sum(first.pending + again.pending) filter (where failures >= @failing_from), 0)::bigint as failing,
  coalesce(max(extract(epoch from now() - least(first.due_at, again.due_at))) filter (where failures < @failing_from), 0)::float8
    as oldest_s
from webhooks w
cross join lateral (
  select count(*) as pending, min(due_at) as due_at from (
    select due_at from deliveries d
    where d.tenant_id = w.tenant_id and d.webhook_id = w.id and d.state = 'pending' and d.attempts = 0 limit @max_rows
  ) as rows
) as first
cross join lateral (
  select count(*) as pending, min(due_at) as due_at from (
    select due_at from deliveries d
    where d.tenant_id = w.tenant_id and d.webhook_id = w.id and d.state = 'pending' and d.attempts > 0
    order by due_at limit @max_rows
  ) as rows
) as again
where w.is_enabled and w.deleted_at is null and w.due_at is not null
