-- What became of messages; and the outbox, which finishes what a process accepted and did not live to send.

-- name: record_delivery
-- Write down what became of a message that was handed to providers. Where all of them definitely refused it, give the
-- send back, and its money, and take back the challenge, whose id nobody was told. A receipt may have been faster: what it
-- knew holds, unless its provider was given up and another one took the message. Returns the event, also to a retry after
-- a lost COMMIT, where it made one; and what the message costs, if it was written down now.
-- $1 tenant_id, $2 message_id, $3 state, $4 provider, $5 provider_message_id, $6 error, $7 give the send back
-- $8 event_id, $9 actor, $10 seconds for which a receipt will be waited for, or null
-- $11 the provider's own price in microdollars, or null
-- $12 route and $13 digest of the Idempotency-Key that the message was asked for with, or null; $14 the answer to keep for
-- whoever repeats it, or null to free the key
-- $15 seconds after which another provider tries, if no receipt has come, or null; $16 providers that may have sent it
-- A second try was counted nowhere before: it is now.
with recorded as (
  update messages m set
    (state, provider, provider_message_id, error, trying, claimed_until, receipt_due_at, updated_at,
     price_microdollars, price_source, retry_at, avoid) = (
    select
      case when holds then further_state(m.state, $3) else $3 end,
      case when m.state = 'delivered' then m.provider else $4 end,
      case when m.provider = $4 then coalesce(m.provider_message_id, $5) when holds then m.provider_message_id else $5 end,
      case when holds and further_state(m.state, $3) <> $3 then m.error else $6 end,
      null, null::timestamptz, now() + $10::int * interval '1 s', now(),
      case when $7 or (m.retry_of is not null and $3 = 'failed') then 0 else coalesce($11, m.price_microdollars) end,
      case when not $7 and $11::bigint is not null then 'provider' else m.price_source end,
      case when holds and m.state in ('delivered', 'failed') then m.retry_at else now() + $15::int * interval '1 s' end,
      $16::text[]
    from (select coalesce(m.state = 'delivered' or m.provider = $4, false) as holds) as receipt)
  -- Put so that messages_trying is no way to the row: it looks cheaper than the primary key, and is read from end to end
  -- with all that others are trying or have tried since the last vacuum.
  where tenant_id = $1 and id = $2 and coalesce(trying, '') <> ''
  returning identifier, challenge_id, created_at, state, country, channel, price_microdollars as price,
    -- Nobody else writes a price, so the snapshot has the one that was counted.
    case when retry_of is null then (select o.price_microdollars from messages o where o.tenant_id = $1 and o.id = $2)
      else 0 end as counted,
    retry_of is not null and $3 <> 'failed' as adds
), kept as (
  update idempotency set answer_box = $14
  where tenant_id = $1 and route = $12 and digest = $13 and claim_id = $2 and $14::bytea is not null
  returning 1
), freed as (
  delete from idempotency
  where tenant_id = $1 and route = $12 and digest = $13 and claim_id = $2 and $14::bytea is null
  returning 1
), change as materialized (
  -- Joined with all that is to be locked before the budget, as the budget is joined below with what comes before the
  -- identifier. What an older version sent was not counted.
  select (r.created_at at time zone 'UTC')::date as day, country, channel,
    case when $7 then -1 when adds then 1 else 0 end as messages, r.price - r.counted as microdollars
  from recorded r left join kept on true left join freed on true
  where $1 not like '%:test' and r.counted is not null and r.price is not null and ($7 or adds or r.price <> r.counted)
), recharged as (
  update budgets b set messages = b.messages + c.messages, microdollars = b.microdollars + c.microdollars
  from change c where b.tenant_id = $1 and b.day = c.day
  returning 1
), recounted as (
  insert into spending as s (tenant_id, day, country, channel, slot, messages, microdollars)
  select $1, day, coalesce(country, ''), channel, pg_backend_pid() % 16, messages, microdollars from change
  on conflict (tenant_id, day, country, channel, slot) do update set
    messages = s.messages + excluded.messages, microdollars = s.microdollars + excluded.microdollars
), untold as (
  -- The challenge, if this very message opened it; one that was asked again had been told before.
  select c.id
  from recorded r join challenges c on c.tenant_id = $1 and c.id = r.challenge_id and c.opened_at = r.created_at
  where $7
), released as (
  update identifiers i set
    sent_at = case when $7 then array_remove(i.sent_at, r.created_at) else i.sent_at end,
    sends = case when $7 then greatest(i.sends - 1, 0) else i.sends end,
    resend_at = null,
    -- A code that no challenge is left of was told to nobody.
    code_mac = case when i.challenge_ids <@ array[u.id] then null else i.code_mac end,
    code_box = case when i.challenge_ids <@ array[u.id] then null else i.code_box end,
    challenge_attempts = coalesce(
      i.challenge_attempts[:array_position(i.challenge_ids, u.id) - 1]
        || i.challenge_attempts[array_position(i.challenge_ids, u.id) + 1:],
      i.challenge_attempts),
    challenge_ids = array_remove(i.challenge_ids, u.id)
  from recorded r left join recharged on true left join untold u on true
  where $3 in ('failed', 'unknown') and i.tenant_id = $1 and i.identifier = r.identifier and i.message_id = $2
  returning i.identifier
), cancelled as (
  -- Joined with what was released, so that the identifier is locked first, as everywhere.
  update challenges c set status = 'cancelled', closed_at = now()
  from untold u left join released on true
  where c.tenant_id = $1 and c.id = u.id and c.status = 'open'
), told as (
  insert into events (tenant_id, id, type, actor, subject, data)
  select $1, $8, 'message.' || $3, $9, $2,
    jsonb_build_object('challenge_id', challenge_id, 'provider', $4::text, 'error', $6::text)
  from recorded where $3 in ('failed', 'unknown') and state = $3
  returning id
)
select
  coalesce(
    (select id from told),
    (select id from events where $3 in ('failed', 'unknown') and tenant_id = $1 and id = $8)) as event_id,
  (select price from recorded) as price_microdollars, (select country from recorded) as country

-- name: record_receipt
-- Write down what a provider reports of a message that it was handed. Reports come late, twice, in any order, and before
-- record_delivery; the row moves only forward, and every order ends in the same row. Of a message that another provider
-- took in the end only its delivery still counts. Returns the state, where there is a new one.
-- $1 tenant_id, $2 message_id, $3 provider, $4 provider_message_id, $5 state: sent, delivered or failed, $6 error,
-- $7 event_id, $8 whether another provider might deliver what failed: retry_messages decides, where the tenant wants it
with held as materialized (
  select state, provider, provider_message_id, error, challenge_id, channel, retry_at, retry_of, delivered_at,
    further_state(state, $5) as next_state, coalesce(provider = $3, true) as took_it
  from messages
  where tenant_id = $1 and id = $2 and ($5 = 'delivered' or coalesce(provider = $3, true))
  for no key update
), learned as materialized (
  select *,
    case when took_it then coalesce(provider_message_id, $4) else $4 end as next_message_id,
    case
      when next_state <> $5 then error
      when state = $5 then greatest(error, $6)
      else $6 end as next_error,
    case
      when $5 = 'sent' then retry_at
      when next_state = 'delivered' or not $8 or error = 'process_lost' then null  -- whom else that process asked, died with it
      when state = 'failed' then retry_at
      when channel = 'sms' and retry_of is null
        and (select settings -> 'retry_undelivered' = 'true' from tenants where id = $1) then now() end as next_retry_at
  from held
), moved as (
  update messages m set state = l.next_state, provider = $3, provider_message_id = l.next_message_id, error = l.next_error,
    retry_at = l.next_retry_at, updated_at = now(),
    delivered_at = case when l.next_state = 'delivered' then coalesce(l.delivered_at, now()) end
  from learned l
  where m.tenant_id = $1 and m.id = $2 and (l.state, l.provider, l.provider_message_id, l.error, l.retry_at)
    is distinct from (l.next_state, $3, l.next_message_id, l.next_error, l.next_retry_at)
), told as (
  insert into events (tenant_id, id, type, actor, subject, data)
  select $1, $7, 'message.' || next_state, $3, $2,
    jsonb_build_object('challenge_id', challenge_id, 'provider', $3::text, 'error', next_error)
  from learned where next_state <> state and next_state in ('delivered', 'failed')
)
select next_state from learned where next_state <> state

-- name: defer_message
-- Return a message to the outbox, to be sent after a delay. A message of more than an hour is not deferred again.
-- $1 tenant_id, $2 message_id, $3 delay in seconds
update messages set trying = null, claimed_until = now() + $3::int * interval '1 s', updated_at = now()
where tenant_id = $1 and id = $2 and state = 'queued' and trying is not null and created_at > now() - interval '1 hour'
returning id

-- name: claim_messages
-- Take messages that were provably not handed to any provider, with what each is to say: the sealed code, unless it has
-- ended or been answered, its link, or what it gives notice of, and the tenant's settings. Several workers may ask at
-- once: SKIP LOCKED gives each row to one.
-- $1 the providers in order of trial, $2 how many, $3 channel, $4 those of sandboxes, or those of live tenants
with due as (
  select tenant_id, id from messages
  where state = 'queued' and trying is null and coalesce(claimed_until <= now(), true) and channel = $3
    and (tenant_id like '%:test') = $4
  order by id
  limit $2
  for update skip locked
), claimed as (
  update messages m set
    trying = coalesce((select p from unnest($1::text[]) with ordinality as u(p, n) where p <> all(m.avoid) order by n limit 1), 'none'),
    claimed_until = now() + interval '15 s', updated_at = now()
  from due d where m.tenant_id = d.tenant_id and m.id = d.id
  returning m.tenant_id, m.id, m.challenge_id, m.identifier, m.channel, m.locale, m.retry_of, m.avoid, m.notice
)
select t.settings, c.tenant_id, c.id, c.challenge_id, c.identifier, c.channel, c.locale, t.name,
  i.code_box, ceil(extract(epoch from i.code_expires_at - now()))::int as expires_in,
  l.token_digest, coalesce(l.with_code, true) as with_code,
  c.avoid, coalesce(f.state = 'delivered', false) as arrived,
  i.code_purpose, c.notice
from claimed c
join tenants t on t.id = split_part(c.tenant_id, ':', 1)
left join links l on l.tenant_id = c.tenant_id and l.message_id = c.id
left join messages f on f.tenant_id = c.tenant_id and f.id = c.retry_of
left join identifiers i on i.tenant_id = c.tenant_id and i.identifier = c.identifier
  and c.challenge_id = any(i.challenge_ids) and i.code_mac is not null and i.code_expires_at > now()

-- name: retry_messages
-- Queue a second message for each that its provider did not deliver, or said nothing of in time, while its code lives.
-- Never a third; never where nobody is left to try it; and not where the person has asked again: that message is tried
-- in its own right. The identifier's row decides: it names the newest message, and the code that is still to be answered.
-- What a process is handing over is left alone until it is known who has it.
-- $1 message ids to use, as many as rows are wanted, $2 event ids, $3 the providers in order of trial
with due as (
  select tenant_id, id, row_number() over (order by id) as n from (
    select tenant_id, id from messages
    where retry_at <= now() and trying is null
    order by retry_at
    limit cardinality($1::text[])
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
    and exists (select from unnest($3::text[]) as p where p <> all(s.avoid || s.provider))
), replaced as (
  update identifiers i set message_id = ($1::text[])[w.n]
  from wanted w
  where i.tenant_id = w.tenant_id and i.identifier = w.identifier and i.message_id = w.id
    and w.challenge_id = any(i.challenge_ids) and i.code_mac is not null
    and i.code_expires_at > now() + interval '30 s'  -- else it would be dead on arrival
  returning w.*
), renamed as (
  update challenges c set message_id = ($1::text[])[r.n]
  from replaced r where c.tenant_id = r.tenant_id and c.id = r.challenge_id and c.message_id = r.id
), queued as (
  insert into messages (tenant_id, id, challenge_id, identifier, channel, locale, retry_of, avoid,
    country, segments, price_microdollars, price_source)
  select tenant_id, ($1::text[])[n], challenge_id, identifier, channel, locale, id, avoid || provider,
    country, segments, price_microdollars, 'estimate'
  from replaced
), told as (
  insert into events (tenant_id, id, type, actor, subject, data)
  select tenant_id, ($2::text[])[n], 'message.retried', 'auth1', id, jsonb_build_object('challenge_id', challenge_id,
    'provider', provider, 'reason', case state when 'failed' then error else 'no_receipt' end, 'message_id', ($1::text[])[n])
  from replaced
)
select s.tenant_id, s.id, s.provider, ($2::text[])[s.n] as event_id,
  case r.state when 'failed' then r.error when 'sent' then 'no_receipt' end as reason, ($1::text[])[r.n] as message_id
from settled s left join replaced r using (tenant_id, id)

-- name: charge_notice
-- Count what a notice costs, once, before it is sent. Nobody asked for it to be sent, so no budget stands against it. Locks
-- as record_delivery does: the message, then the budget.
-- $1 tenant_id, $2 message_id, $3 country or null, $4 segments or null, $5 price in microdollars
with priced as (
  update messages set country = $3, segments = $4, price_microdollars = $5, price_source = 'estimate'
  where tenant_id = $1 and id = $2 and price_microdollars is null
  returning channel, (created_at at time zone 'UTC')::date as day
), charged as (
  update budgets b set day = p.day,
    messages = case when b.day = p.day then b.messages else 0 end + 1,
    microdollars = case when b.day = p.day then b.microdollars else 0 end + $5::bigint,
    told = case when b.day = p.day then b.told else '{}' end
  from priced p where b.tenant_id = $1 and b.day <= p.day
  returning 1
)
insert into spending as s (tenant_id, day, country, channel, slot, messages, microdollars)
select $1, p.day, coalesce($3, ''), p.channel, pg_backend_pid() % 16, 1, $5
from priced p left join charged on true
on conflict (tenant_id, day, country, channel, slot) do update set
  messages = s.messages + 1, microdollars = s.microdollars + excluded.microdollars

-- name: settle_lost_messages
-- What a dead process was handing to a provider may have been sent or not: unknown, unless a receipt told more. Asking
-- again is open at once.
-- $1 event ids to use, as many as rows are wanted
with lost as (
  select tenant_id, id, row_number() over (order by id) as n from (
    select tenant_id, id from messages
    where trying is not null and claimed_until < now()
    order by id
    limit cardinality($1::text[])
    for update skip locked
  ) as l
), settled as (
  update messages m set state = further_state(m.state, 'unknown'), provider = coalesce(m.provider, m.trying),
    error = case when further_state(m.state, 'unknown') = 'unknown' then 'process_lost' else m.error end,
    trying = null, claimed_until = null, updated_at = now(),
    retry_at = null
  from lost l where m.tenant_id = l.tenant_id and m.id = l.id
  returning m.tenant_id, m.id, m.identifier, m.challenge_id, m.state, m.provider, l.n
), opened as (
  update identifiers i set resend_at = null
  from settled s
  where s.state = 'unknown' and i.tenant_id = s.tenant_id and i.identifier = s.identifier and i.message_id = s.id
), told as (
  insert into events (tenant_id, id, type, actor, subject, data)
  select tenant_id, ($1::text[])[n], 'message.unknown', 'auth1', id,
    jsonb_build_object('challenge_id', challenge_id, 'provider', provider, 'error', 'process_lost')
  from settled where state = 'unknown'
)
select tenant_id, id, provider, ($1::text[])[n] as event_id from settled where state = 'unknown'

-- name: settle_unreported_messages
-- A message whose provider was to report on it and has not, when its code ended: unknown. A receipt that comes later
-- still counts.
-- $1 event ids to use, as many as rows are wanted
with silent as (
  select tenant_id, id, row_number() over (order by id) as n from (
    select tenant_id, id from messages
    where state = 'sent' and receipt_due_at < now()
    order by receipt_due_at
    limit cardinality($1::text[])
    for update skip locked
  ) as s
), settled as (
  update messages m set state = 'unknown', error = 'no_receipt', updated_at = now()
  from silent s where m.tenant_id = s.tenant_id and m.id = s.id
  returning m.tenant_id, m.id, m.challenge_id, m.provider, s.n
), told as (
  insert into events (tenant_id, id, type, actor, subject, data)
  select tenant_id, ($1::text[])[n], 'message.unknown', 'auth1', id,
    jsonb_build_object('challenge_id', challenge_id, 'provider', provider, 'error', 'no_receipt')
  from settled
)
select tenant_id, id, provider, ($1::text[])[n] as event_id from settled
