-- Open a challenge for each request, or repeat the live code; count the send and queue the message, or reject the request.
-- Idempotent by message_id. An identifier is at most once in a batch. A request with an Idempotency-Key or a budget is a
-- batch of one. Rows are locked in one order: idempotency, budgets, identifiers, challenges, spending. A batch waits for no
-- identifier: one that is locked by another transaction is left out of the result, and its caller repeats it singly.
create type open_challenge as (
  tenant_id text,
  identifier text,
  type text,
  purpose text,
  challenge_id text,              -- of a new challenge
  repeat_id text,                 -- the challenge that the caller wants to repeat, or null
  code_mac bytea,                 -- of the code to use if none is live
  code_box bytea,
  expires_in int,
  attempts_max int,
  box_prefixes bytea[],           -- of encrypted codes that can still be decrypted
  message_id text,
  provider text,                  -- the provider of the first attempt, or null: the outbox sends the message
  sends_per_hour int,             -- twice as many a day; 0: no limit
  first_wait int,                 -- seconds; 0: no wait
  locale text,
  link_token_digest bytea,        -- null: the message has no link
  link_secret_digest bytea,       -- null: the link redirects
  link_with_code boolean,
  link_user_agent text,           -- of the request, for the confirmation page
  link_network text,
  redirect_to text,
  code_challenge text,
  country text,
  segments smallint,
  price_microdollars bigint,
  budget_microdollars bigint,     -- a day; null: no limit
  budget_soft_microdollars bigint,
  budget_messages int,
  budget_event_id text,
  route text,
  key_digest bytea,               -- of the Idempotency-Key, or null
  body_digest bytea,
  is_suppressed boolean,          -- send nothing unless the identifier belongs to a user
  event_id text,
  actor text,
  request_id text,
  network text,
  data jsonb,                     -- of the event
  deadline timestamptz
);
create type challenge_result as (
  message_id text,
  verdict text,                   -- opened, repeated; full, too_soon; messages, money; reused, replayed, in_flight
  challenge_id text,
  code_box bytea,
  expires_in int,
  resend_after int,
  budget_after int,
  stored_response bytea,
  events text
);
create type opened_challenge as (
  request open_challenge,
  verdict text,
  challenge_id text,
  expires_at timestamptz
);

create function open_challenges(requests open_challenge[]) returns setof challenge_result
language plpgsql
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  deadline constant timestamptz := (select min(r.deadline) from unnest(requests) as r);
  request open_challenge := requests[1];
  result challenge_result;
  results challenge_result[] := '{}';
  budget budgets;
  rejection text;
  i identifiers;
  code live_code;
  opened opened_challenge[] := '{}';
  new_events new_event[];
  event new_event;
  has_links boolean := false;
  has_budget constant boolean := request.budget_microdollars is not null or request.budget_messages is not null;
  is_batch constant boolean := cardinality(requests) > 1;
  is_locked boolean;
  is_sent boolean;
begin
  if is_batch then
    perform check_batch(requests);
  end if;

  -- 1. The Idempotency-Key and the budget, of the batch of one that has them.
  if request.key_digest is not null then
    select c.rejection, c.response into rejection, result.stored_response from claim_idempotency_key(request) as c;
  end if;
  if rejection is null and has_budget then
    budget := lock_budget(request.tenant_id);
    if exists (select from messages m where m.tenant_id = request.tenant_id and m.id = request.message_id) then
      null;  -- a retry: the message was counted
    elsif budget.messages >= request.budget_messages then
      rejection := 'messages';
    elsif request.price_microdollars > 0 and budget.microdollars + request.price_microdollars > request.budget_microdollars then
      rejection := 'money';
    end if;
  end if;

  -- 2. Lock the identifiers in one order; decide, and write the result.
  for request in select * from unnest(requests) as r order by r.tenant_id, r.identifier loop
    exit when rejection is not null;
    result := null;
    result.message_id := request.message_id;
    has_links := has_links or request.link_token_digest is not null;
    is_locked := false;
    loop
      if is_batch then
        select * into i from identifiers where tenant_id = request.tenant_id and identifier = request.identifier
        for no key update skip locked;
      else
        select * into i from identifiers where tenant_id = request.tenant_id and identifier = request.identifier
        for no key update;
      end if;
      exit when found;
      is_locked := is_batch and exists (
        select from identifiers where tenant_id = request.tenant_id and identifier = request.identifier);
      exit when is_locked;
      request.is_suppressed := request.is_suppressed and request.purpose = 'login';
      code := next_code(null::live_code, request);
      i := insert_identifier(request, code);
      if i.identifier is not null then
        result.verdict := 'opened';
        exit;
      end if;
    end loop;
    continue when is_locked;
    is_sent := result.verdict is not null;
    if not is_sent then
      request.is_suppressed := request.is_suppressed and request.purpose = 'login' and i.user_id is null;
      code := read_code(i, request.purpose);
      if i.message_id = request.message_id then
        -- A retry: this very request was accepted.
        result.verdict := case when code.box = request.code_box then 'opened' else 'repeated' end;
        result.events := find_events(request.tenant_id, request.event_id);
      else
        result.verdict := may_send(i.sent_at, i.resend_at, request.sends_per_hour, request.first_wait);
        if result.verdict is null then
          code := next_code(code, request);
          i := update_identifier(i, request, code);
          result.verdict := case when code.box = request.code_box then 'opened' else 'repeated' end;
          is_sent := true;
        end if;
      end if;
    end if;
    result.challenge_id := case
      when request.challenge_id = any(code.challenge_ids) then request.challenge_id else request.repeat_id end;
    if is_sent then
      opened := opened || row(request, result.verdict, result.challenge_id, code.expires_at)::opened_challenge;
      if result.verdict = 'opened' and cardinality(code.challenge_ids) > 1 then
        update challenges c set expires_at = code.expires_at
        where c.tenant_id = request.tenant_id and c.id = any(code.challenge_ids) and c.id <> result.challenge_id;
      end if;
    end if;
    result.code_box := code.box;
    result.expires_in := ceil(extract(epoch from code.expires_at - now()));
    result.resend_after := ceil(extract(epoch from i.resend_at - now()));
    result.budget_after := ceil(extract(epoch from full_until(i.sent_at, request.sends_per_hour) - now()));
    results := results || result;
  end loop;
  perform check_deadline(deadline);

  -- 3. Write the challenges, links, messages and events of accepted requests.
  if cardinality(opened) > 0 then
    new_events := write_challenges(opened, has_links);
  end if;
  if has_budget and rejection is distinct from 'reused' and budget.tenant_id is not null then
    event := charge_budget(budget, requests[1],
      (select count(*) from unnest(opened) as o where not (o.request).is_suppressed)::int, rejection);
    if event.id is not null then
      new_events := new_events || event;
    end if;
  end if;
  if new_events is not null then
    perform record_events(new_events);
  end if;
  perform count_spending(opened);
  perform check_deadline(deadline);

  -- 4. Return.
  if rejection is not null then
    request := requests[1];
    result.message_id := request.message_id;
    result.verdict := rejection;
    if budget.tenant_id is not null then
      result.budget_after := ceil(extract(epoch from (budget.day + 1)::timestamp at time zone 'UTC' - now()));
    end if;
    results := array[result];
  end if;
  return query
  select r.message_id, r.verdict, r.challenge_id, r.code_box, r.expires_in, r.resend_after, r.budget_after,
    r.stored_response, coalesce(r.events, events_json(new_events, q.event_id, q.budget_event_id))
  from unnest(results) as r join unnest(requests) as q on q.message_id = r.message_id;
end
$$;
