-- Count an attempt and compare, as submit_codes does. A right code is consumed, and links the identifier to the signed-in
-- user, unless it belongs to another user. The user's previous identifier of this type is released with its code and
-- budgets, and the user's other sessions end. The previous identifier, or else that of the other type, gets a notice. Rows
-- are locked in one order: identifiers, challenges, users, sessions.
create type prove_identifier as (
  tenant_id text,
  identifier text,
  type text,
  purpose text,
  code_macs bytea[],
  challenge_id text,              -- the challenge that the caller names, or null
  user_id text,
  session_id text,                -- stays live
  notice_id text,                 -- message id of the notice
  notice_channels text[],         -- channels that can send notices
  event_id text,
  revocation_event_id text,
  request_id text,
  network text,
  deadline timestamptz
);
create type proof_result as (
  verdict text,                   -- as judge_attempt says; taken, kept (is the user's already), gone (user or session)
  challenge_id text,
  attempts_remaining int,
  retry_after int,
  revoked_sessions text[],
  live_sessions text[],           -- with a stale cached user
  events text
);

create function prove_identifier(request prove_identifier) returns proof_result
language plpgsql
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  locked identifiers;
  i identifiers;
  old identifiers;                -- the user's identifier of the same type
  other identifiers;              -- of the other type
  code live_code;
  attempt record;
  result proof_result;
  new_events new_event[];
begin
  -- 1. Lock the identifier and those of the user, in one order, and judge.
  perform lock_account(request.tenant_id, request.user_id);
  for locked in
    select * from identifiers as n
    where n.tenant_id = request.tenant_id and (n.identifier = request.identifier or n.user_id = request.user_id)
    order by n.identifier
    for no key update
  loop
    if locked.identifier = request.identifier then
      i := locked;
    elsif locked.type = request.type then
      old := locked;
    else
      other := locked;
    end if;
  end loop;
  code := read_code(i, request.purpose);
  select * into attempt from judge_attempt(
    code, i.wrong_at, i.unnamed_locked_until, i.resend_at, request.code_macs, request.challenge_id);
  perform check_deadline(request.deadline);
  result.verdict := attempt.verdict;
  result.challenge_id := coalesce(request.challenge_id, code.challenge_ids[1]);
  result.attempts_remaining := attempt.attempts_remaining;
  if attempt.verdict in ('exhausted', 'locked') then
    result.retry_after := ceil(extract(epoch from attempt.retry_at - now()));
  elsif attempt.verdict = 'ok' then
    result.verdict := case
      when i.user_id = request.user_id then 'kept'
      when not lock_user(request.tenant_id, request.user_id, request.session_id) then 'gone'
      when i.user_id is not null then 'taken'
      else 'ok' end;
  end if;

  -- 2. A wrong code: count it. A right one: consume it.
  if result.verdict = 'wrong' then
    perform count_wrong_code(i, request.purpose, request.challenge_id, attempt.place, attempt.attempts_remaining);
  elsif result.verdict in ('ok', 'taken') then
    perform consume_code(i, request.purpose, code, result.challenge_id);
  end if;

  -- 3. Link the identifier to the user, release the old one, send the notice, end the other sessions.
  if result.verdict = 'ok' then
    update identifiers as u set user_id = request.user_id where u.tenant_id = i.tenant_id and u.identifier = i.identifier;
    if old.identifier is not null then
      update identifiers as u set user_id = null
      where u.tenant_id = request.tenant_id and u.user_id = request.user_id and u.type = request.type
        and u.identifier <> request.identifier;
      result.revoked_sessions := revoke_sessions(request.tenant_id, request.user_id, request.session_id);
    end if;
    other := case when old.identifier is not null then old else other end;
    if other.identifier is not null and channel_of(other.type) = any(request.notice_channels) then
      perform queue_notice(other, request.notice_id,
        request.type || case when old.identifier is null then '_added' else '_changed' end);
    end if;
    result.live_sessions := live_sessions(request.tenant_id, request.user_id);
    perform check_account(request.tenant_id, request.user_id);
  end if;

  -- 4. Record the events, and return.
  if result.verdict in ('ok', 'taken', 'wrong') then
    new_events := array[row(request.tenant_id, request.event_id,
      case when result.verdict = 'wrong' then 'challenge.attempt_failed'
        when result.verdict = 'taken' then 'identifier.conflict'
        when old.identifier is not null then 'identifier.changed'
        else 'identifier.added' end,
      request.user_id, case when result.verdict = 'wrong' then result.challenge_id else request.user_id end,
      request.request_id, request.network,
      case when result.verdict = 'wrong' then jsonb_build_object('attempts_remaining', result.attempts_remaining)
        else jsonb_build_object('channel', channel_of(request.type), 'challenge_id', result.challenge_id) end)::new_event];
    if cardinality(result.revoked_sessions) > 0 then
      new_events := new_events || row(request.tenant_id, request.revocation_event_id, 'user.sessions_revoked',
        request.user_id, request.user_id, request.request_id, request.network, jsonb_build_object(
          'sessions', cardinality(result.revoked_sessions), 'reason', 'identifier_changed'))::new_event;
    end if;
    perform record_events(new_events);
    result.events := events_json(new_events, request.event_id, request.revocation_event_id);
  end if;
  perform check_deadline(request.deadline);
  return result;
end
$$;
