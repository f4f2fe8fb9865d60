-- Record the outcome of messages. If every provider definitely rejected one, refund the send and its price, and cancel the
-- challenge, because no caller got its id. An earlier delivery report takes precedence, unless its provider was abandoned
-- and another one accepted the message. The first record of a message counts.
-- Rows are locked in one order: messages, idempotency, budgets, identifiers, challenges, spending. A batch waits for no
-- message: one that is locked by another transaction is left out of the result, and its caller repeats it singly. A message
-- that was not sent is a batch of one, because its identifier is locked.
create type record_delivery as (
  tenant_id text,
  message_id text,
  state text,                     -- sent, failed or unknown
  provider text,
  provider_message_id text,
  error text,
  refunds_send boolean,
  report_in int,                  -- seconds until a delivery report is overdue, or null
  price_microdollars bigint,      -- the provider's own, or null
  retry_in int,                   -- seconds without a delivery report until a retry, or null
  exclude_providers text[],       -- providers that may have sent it
  event_id text,
  actor text,
  request_id text,
  network text,
  route text,                     -- of the Idempotency-Key that the message was requested with, or null
  key_digest bytea,
  sealed_response bytea           -- the response to repeats of the key; null: release the key
);
create type delivery_result as (
  message_id text,
  price_microdollars bigint,      -- null for a message that was already recorded
  country text,
  events text
);
create type recorded_delivery as (
  request record_delivery,
  identifier text,
  challenge_id text,
  created_at timestamptz,
  old_state text,
  old_provider text,
  country text,
  channel text,
  is_reported boolean,            -- an earlier delivery report takes precedence
  state text,
  price_microdollars bigint,
  counted_microdollars bigint,
  sends int                       -- the number of messages to add to the count
);

create function record_deliveries(requests record_delivery[]) returns setof delivery_result
language plpgsql
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  recorded recorded_delivery[];
  new_events new_event[];
  keyed record_delivery;
  has_charges boolean;
  has_failures boolean;
  lockable record_delivery[] := requests;
  left_out text[] := '{}';
begin
  -- 1. Lock the messages in one order, and decide. Messages that no process is sending were already recorded.
  if cardinality(requests) > 1 then
    if exists (select from unnest(requests) as r where r.state <> 'sent') then
      raise exception 'a message that was not sent is a batch of its own';
    end if;
    select array_agg(r.request) into lockable
    from (select u::record_delivery as request, u.tenant_id, u.message_id from unnest(requests) as u order by 2, 3) as r
    cross join lateral (
      select from messages m
      where m.tenant_id = r.tenant_id and m.id = r.message_id and coalesce(m.trying, '') <> ''
      for no key update of m skip locked
    ) as free;
  end if;
  select array_agg(row(x.request, (x.m).identifier, (x.m).challenge_id, (x.m).created_at, (x.m).state, (x.m).provider,
      (x.m).country, (x.m).channel, d.is_reported,
      case when d.is_reported then further_state((x.m).state, (x.request).state) else (x.request).state end,
      d.price, d.counted, d.sends)::recorded_delivery),
    bool_or((x.request).tenant_id not like '%:test' and (d.sends <> 0 or d.price <> d.counted)
      and d.price is not null and d.counted is not null),
    bool_or((x.request).state <> 'sent')
  into recorded, has_charges, has_failures
  from (
    select r.request, locked.m
    from (select u::record_delivery as request, u.tenant_id, u.message_id from unnest(lockable) as u order by 2, 3) as r
    cross join lateral (
      -- Written so that the plan uses the primary key.
      select m from messages m
      where m.tenant_id = r.tenant_id and m.id = r.message_id and coalesce(m.trying, '') <> ''
      for no key update of m
    ) as locked
  ) as x
  cross join lateral (
    select coalesce((x.m).state = 'delivered' or (x.m).provider = (x.request).provider, false) as is_reported,
      -- A retry was not counted when it was queued. It counts now, unless it failed.
      case when (x.m).retry_of is null then (x.m).price_microdollars else 0 end as counted,
      case when (x.request).refunds_send or ((x.m).retry_of is not null and (x.request).state = 'failed') then 0
        else coalesce((x.request).price_microdollars, (x.m).price_microdollars) end as price,
      case when (x.request).refunds_send then -1
        when (x.m).retry_of is not null and (x.request).state <> 'failed' then 1 else 0 end as sends
  ) as d;

  -- 2. Write the messages.
  update messages m set
    state = d.state,
    provider = case when d.old_state = 'delivered' then m.provider else r.provider end,
    provider_message_id = case when d.old_provider = r.provider then coalesce(m.provider_message_id, r.provider_message_id)
      when d.is_reported then m.provider_message_id else r.provider_message_id end,
    error = case when d.is_reported and d.state <> r.state then m.error else r.error end,
    trying = null, claimed_until = null, receipt_due_at = now() + r.report_in * interval '1 s', updated_at = now(),
    price_microdollars = d.price_microdollars,
    price_source = case when not r.refunds_send and r.price_microdollars is not null then 'provider' else m.price_source end,
    retry_at = case when d.is_reported and d.old_state in ('delivered', 'failed') then m.retry_at
      else now() + r.retry_in * interval '1 s' end,
    -- Unchanged unless a retry comes first, so that no index changes.
    attention_at = least(m.attention_at, now() + r.retry_in * interval '1 s'),
    avoid = r.exclude_providers
  from unnest(recorded) as d cross join lateral (select (d.request).*) as r
  where m.tenant_id = r.tenant_id and m.id = r.message_id;

  -- 3. Store the responses to Idempotency-Keys, or release the keys.
  for keyed in select * from unnest(requests) as r where r.key_digest is not null order by r.tenant_id, r.key_digest loop
    if keyed.sealed_response is not null then
      update idempotency k set answer_box = keyed.sealed_response
      where k.tenant_id = keyed.tenant_id and k.route = keyed.route and k.digest = keyed.key_digest
        and k.claim_id = keyed.message_id;
    else
      delete from idempotency k
      where k.tenant_id = keyed.tenant_id and k.route = keyed.route and k.digest = keyed.key_digest
        and k.claim_id = keyed.message_id;
    end if;
  end loop;

  -- 4. The price has changed: correct the budgets. The spending follows at the end.
  if has_charges then
    perform correct_budgets(recorded);
  end if;

  -- 5. No provider accepted the message, or this is unknown: another code may be requested at once.
  if has_failures then
    perform release_sends(recorded);
    select array_agg(row(r.tenant_id, r.event_id, 'message.' || r.state, r.actor, r.message_id, r.request_id, r.network,
      jsonb_build_object('challenge_id', d.challenge_id, 'provider', r.provider, 'error', r.error))::new_event)
    into new_events
    from unnest(recorded) as d cross join lateral (select (d.request).*) as r
    where r.state <> 'sent' and d.state = r.state;
    if new_events is not null then
      perform record_events(new_events);
    end if;
  end if;
  if has_charges then
    perform correct_spending(recorded);
  end if;

  -- 6. Return. After a lost commit the events are those that the first run recorded. A message of a batch that is still
  -- being sent is left out.
  if cardinality(requests) > coalesce(cardinality(recorded), 0) and cardinality(requests) > 1 then
    select coalesce(array_agg(r.message_id), '{}') into left_out
    from unnest(requests) as r
    cross join lateral (
      select from messages m where m.tenant_id = r.tenant_id and m.id = r.message_id and coalesce(m.trying, '') <> ''
    ) as sending;
  end if;
  return query
  select r.message_id, d.price_microdollars, d.country,
    case when d.request is null and r.state <> 'sent' then find_events(r.tenant_id, r.event_id)
      when new_events is not null then events_json(new_events, r.event_id, null) end
  from unnest(requests) as r left join unnest(recorded) as d on (d.request).message_id = r.message_id
  where r.message_id <> all(left_out);
end
$$;
