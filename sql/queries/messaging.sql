-- Delivery reports and the outbox, which sends the accepted messages of crashed processes.
-- sql/functions/record_deliveries.sql records a delivery first.

-- name: record_report
-- Record a delivery report. Reports arrive late, twice, in any order, and before the delivery is recorded. The state only
-- moves forward, and every order ends in the same row. For a message that another provider has accepted, only a report of
-- delivery counts. `is_retryable`: another provider may deliver the failed message, so retry_messages decides.
with locked as materialized (
  select state, provider, provider_message_id, error, challenge_id, channel, retry_at, retry_of, delivered_at,
    further_state(state, @state) as next_state, coalesce(provider = @provider, true) as is_accepted
  from messages
  where tenant_id = @tenant_id and id = @message_id and (@state = 'delivered' or coalesce(provider = @provider, true))
  for no key update
), next as materialized (
  select *,
    case when is_accepted then coalesce(provider_message_id, @provider_message_id) else @provider_message_id end as next_message_id,
    case
      when next_state <> @state then error
      when state = @state then greatest(error, @error)
      else @error end as next_error,
    case
      when @state = 'sent' then retry_at
      -- The providers that a crashed process has tried are unknown.
      when next_state = 'delivered' or not @is_retryable or error = 'process_lost' then null
      when state = 'failed' then retry_at
      when channel = 'sms' and retry_of is null
        and (select settings -> 'retry_undelivered' = 'true' from tenants where id = @tenant_id) then now() end as next_retry_at
  from locked
), updated as (
  update messages m set state = n.next_state, provider = @provider, provider_message_id = n.next_message_id,
    error = n.next_error, retry_at = n.next_retry_at, attention_at = least(m.attention_at, n.next_retry_at), updated_at = now(),
    delivered_at = case when n.next_state = 'delivered' then coalesce(n.delivered_at, now()) end
  from next n
  where m.tenant_id = @tenant_id and m.id = @message_id and (n.state, n.provider, n.provider_message_id, n.error, n.retry_at)
    is distinct from (n.next_state, @provider, n.next_message_id, n.next_error, n.next_retry_at)
), new_event as (
  insert into events as e (tenant_id, id, type, actor, subject, request_id, network, data)
  select @tenant_id, @event_id, 'message.' || next_state, @actor, @message_id, @request_id, @network,
    jsonb_build_object('challenge_id', challenge_id, 'provider', @provider::text, 'error', next_error)
  from next where next_state <> state and next_state in ('delivered', 'failed')
  returning event_json(e) as event
)
select (select json_agg(event)::text from new_event) as events from next where next_state <> state

-- name: find_event
-- After a lost commit: return our own event, if it was recorded.
select json_build_array(event_json(e))::text as events from events e where e.tenant_id = @tenant_id and e.id = @event_id

-- name: defer_message
-- Return a message to the outbox, to be sent after a delay. A message of more than an hour is not deferred again.
update messages set trying = null, claimed_until = now() + @delay_s::int * interval '1 s',
  attention_at = now() + @delay_s::int * interval '1 s', updated_at = now()
where tenant_id = @tenant_id and id = @message_id and state = 'queued' and trying is not null
  and created_at > now() - interval '1 hour'
returning id

-- name: return_messages
-- Return messages to the outbox that were committed, though their requests failed before a provider got them. Those of a
-- tenant that has moved need no attention here.
update messages m set trying = null, claimed_until = null, attention_at = now(), updated_at = now()
from unnest(@tenant_ids::text[], @message_ids::text[]) as r(tenant_id, message_id)
where m.tenant_id = r.tenant_id and m.id = r.message_id and m.state = 'queued' and m.trying is not null
  and m.attention_at is not null
returning m.id as message_id

-- name: schedule_messages
-- Move the time of attention of messages on to the time when something is due: the end of a claim, a retry, the end of the
-- wait for a delivery report. Null if nothing is. Messages with something due now are left to the other statements. Here
-- and below, a range with two ends makes the planner expect few rows, and use the index, before it knows the table.
with due as (
  select m.tenant_id, m.id, next.at from messages m
  cross join lateral (select least(
    case when m.state = 'queued' or m.trying is not null then coalesce(m.claimed_until, '-infinity') end,
    m.retry_at,
    case when m.state = 'sent' then m.receipt_due_at end) as at) as next
  where m.attention_at between '-infinity' and now() and coalesce(next.at > now(), true)
  order by m.attention_at
  limit @max_rows
  for update of m skip locked
), updated as (
  update messages m set attention_at = d.at from due d where m.tenant_id = d.tenant_id and m.id = d.id returning 1
)
select count(*) as settled, null::text as events from updated

-- name: claim_messages
-- Claim messages that were provably not handed to any provider, with what each is to contain: the encrypted code, unless it
-- has expired or been used, its link, or the notice, and the tenant's settings. Several workers may claim at once: SKIP
-- LOCKED gives each row to one.
with due as (
  select tenant_id, id from messages
  where attention_at between '-infinity' and now() and state = 'queued' and trying is null and coalesce(claimed_until <= now(), true)
    and channel = @channel and (tenant_id like '%:test') = @is_sandbox
  order by attention_at
  limit @max_rows
  for update skip locked
), claimed as (
  update messages m set
    trying = coalesce(
      (select p from unnest(@providers::text[]) with ordinality as u(p, n) where p <> all(m.avoid) order by n limit 1), 'none'),
    claimed_until = now() + interval '15 s', attention_at = now() + interval '15 s', updated_at = now()
  from due d where m.tenant_id = d.tenant_id and m.id = d.id
  returning m.tenant_id, m.id, m.challenge_id, m.identifier, m.channel, m.locale, m.retry_of, m.avoid, m.notice, m.country,
    m.price_microdollars
)
select t.settings, c.tenant_id, c.id as message_id, c.challenge_id, c.identifier, c.channel, c.locale, t.name as tenant_name,
  k.box as code_box, ceil(extract(epoch from k.expires_at - now()))::int as expires_in,
  l.token_digest, coalesce(l.with_code, true) as with_code,
  c.avoid as exclude_providers, coalesce(f.state = 'delivered', false) as has_arrived,
  k.purpose, c.notice, c.country, c.price_microdollars, h.status as challenge_status,
  (select o.host from hosts o where o.tenant_id = t.id and o.canonical) as canonical_host
from claimed c
join tenants t on t.id = split_part(c.tenant_id, ':', 1)
left join challenges h on h.tenant_id = c.tenant_id and h.id = c.challenge_id
left join links l on l.tenant_id = c.tenant_id and l.message_id = c.id
left join messages f on f.tenant_id = c.tenant_id and f.id = c.retry_of
left join lateral (
  select * from live_codes k
  where k.tenant_id = c.tenant_id and k.identifier = c.identifier and c.challenge_id = any(k.challenge_ids)
  limit 1
) as k on true

-- name: retry_messages
-- Queue a retry of each message that its provider did not deliver or did not report on in time, while its code is live. A
-- retry is not retried. Another provider must be left, and no newer message requested: the identifier's row names the
-- newest one. Messages that a process is sending are skipped. `message_ids` and `event_ids` limit the number of rows.
with due as (
  select tenant_id, id, row_number() over (order by id) as n from (
    select tenant_id, id from messages
    where attention_at between '-infinity' and now() and retry_at <= now() and trying is null
    order by attention_at
    limit cardinality(@message_ids::text[])
    for update skip locked
  ) as d
), settled as (
  update messages m set retry_at = null
  from due d where m.tenant_id = d.tenant_id and m.id = d.id
  returning m.*, d.n
), wanted as (
  select s.* from settled s
  join tenants t on t.id = s.tenant_id and t.deleted_at is null and t.suspended_at is null
  where s.channel = 'sms' and s.retry_of is null
    and case s.state
      when 'failed' then t.settings -> 'retry_undelivered' = 'true'
      when 'sent' then jsonb_typeof(t.settings -> 'retry_unreported_after') = 'number' end
    and exists (select from unnest(@providers::text[]) as p where p <> all(s.avoid || s.provider))
), replaced as (
  update identifiers i set message_id = (@message_ids::text[])[w.n]
  from wanted w
  cross join lateral (
    select from live_codes k
    where k.tenant_id = w.tenant_id and k.identifier = w.identifier and w.challenge_id = any(k.challenge_ids)
      and k.expires_at > now() + interval '30 s'  -- else it would expire on its way
    limit 1
  ) as live
  where i.tenant_id = w.tenant_id and i.identifier = w.identifier and i.message_id = w.id
  returning w.*
), renamed as (
  update challenges c set message_id = (@message_ids::text[])[r.n]
  from replaced r where c.tenant_id = r.tenant_id and c.id = r.challenge_id and c.message_id = r.id
), queued as (
  insert into messages (tenant_id, id, challenge_id, identifier, channel, locale, retry_of, avoid,
    country, segments, price_microdollars, price_source)
  select tenant_id, (@message_ids::text[])[n], challenge_id, identifier, channel, locale, id, avoid || provider,
    country, segments, price_microdollars, 'estimate'
  from replaced
), new_event as (
  insert into events as e (tenant_id, id, type, actor, subject, data)
  select tenant_id, (@event_ids::text[])[n], 'message.retried', 'auth1', id, jsonb_build_object('challenge_id', challenge_id,
    'provider', provider, 'reason', case state when 'failed' then error else 'no_receipt' end, 'message_id', (@message_ids::text[])[n])
  from replaced
  returning event_json(e) as event
)
select count(*) as settled, (select json_agg(event)::text from new_event) as events from settled

-- name: charge_notice
-- Count what a notice costs, once, before it is sent. No budget limits it, because no caller requested it. Locks as
-- record_deliveries does: the message, then the budget.
with priced as (
  update messages set country = @country, segments = @segments, price_microdollars = @microdollars, price_source = 'estimate'
  where tenant_id = @tenant_id and id = @message_id and price_microdollars is null
  returning channel, (created_at at time zone 'UTC')::date as day
), charged as (
  update budgets b set day = p.day,
    messages = case when b.day = p.day then b.messages else 0 end + 1,
    microdollars = case when b.day = p.day then b.microdollars else 0 end + @microdollars::bigint,
    told = case when b.day = p.day then b.told else '{}' end
  from priced p where b.tenant_id = @tenant_id and b.day <= p.day
  returning 1
)
insert into spending as s (tenant_id, day, country, channel, slot, messages, microdollars)
select @tenant_id, p.day, coalesce(@country, ''), p.channel, pg_backend_pid() % 16, 1, @microdollars
from priced p left join charged on true
on conflict (tenant_id, day, country, channel, slot) do update set
  messages = s.messages + 1, microdollars = s.microdollars + excluded.microdollars

-- name: mark_lost_unknown
-- A message that a crashed process was sending becomes unknown, unless a report has arrived. Another code may be requested
-- at once. `event_ids` limits the number of rows.
with lost as (
  select tenant_id, id, row_number() over (order by id) as n from (
    select tenant_id, id from messages
    where attention_at between '-infinity' and now() and trying is not null and claimed_until < now()
    order by attention_at
    limit cardinality(@event_ids::text[])
    for update skip locked
  ) as l
), settled as (
  update messages m set state = further_state(m.state, 'unknown'), provider = coalesce(m.provider, m.trying),
    error = case when further_state(m.state, 'unknown') = 'unknown' then 'process_lost' else m.error end,
    trying = null, claimed_until = null, updated_at = now(),
    retry_at = null
  from lost l where m.tenant_id = l.tenant_id and m.id = l.id
  returning m.tenant_id, m.id, m.identifier, m.challenge_id, m.state, m.provider, l.n
), released as (
  update identifiers i set resend_at = null
  from settled s
  where s.state = 'unknown' and i.tenant_id = s.tenant_id and i.identifier = s.identifier and i.message_id = s.id
), new_event as (
  insert into events as e (tenant_id, id, type, actor, subject, data)
  select tenant_id, (@event_ids::text[])[n], 'message.unknown', 'auth1', id,
    jsonb_build_object('challenge_id', challenge_id, 'provider', provider, 'error', 'process_lost')
  from settled where state = 'unknown'
  returning event_json(e) as event
)
select count(*) as settled, (select json_agg(event)::text from new_event) as events from settled

-- name: expire_unreported
-- A message without a delivery report becomes unknown when its code expires. A later report still counts. `event_ids`
-- limits the number of rows.
with silent as (
  select tenant_id, id, row_number() over (order by id) as n from (
    select tenant_id, id from messages
    where attention_at between '-infinity' and now() and state = 'sent' and receipt_due_at < now()
    order by attention_at
    limit cardinality(@event_ids::text[])
    for update skip locked
  ) as s
), settled as (
  update messages m set state = 'unknown', error = 'no_receipt', updated_at = now()
  from silent s where m.tenant_id = s.tenant_id and m.id = s.id
  returning m.tenant_id, m.id, m.challenge_id, m.provider, s.n
), new_event as (
  insert into events as e (tenant_id, id, type, actor, subject, data)
  select tenant_id, (@event_ids::text[])[n], 'message.unknown', 'auth1', id,
    jsonb_build_object('challenge_id', challenge_id, 'provider', provider, 'error', 'no_receipt')
  from settled
  returning event_json(e) as event
)
select count(*) as settled, (select json_agg(event)::text from new_event) as events from settled
