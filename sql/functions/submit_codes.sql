-- Count one attempt for each request, compare, and on a right code consume it, find or create the user and open the
-- session. A login that hooks decide about pauses before anything is counted or consumed. An identifier is at most once in
-- a batch. Rows are locked in one order: identifiers, users, challenges, sessions. A batch waits for neither identifiers nor
-- users: a request for one that is locked by another transaction is left out of the result, and its caller repeats it
-- singly.
create type submit_code as (
  tenant_id text,
  identifier text,
  code_macs bytea[],              -- of the submitted code, one for each accepted secret
  challenge_id text,              -- the challenge that the caller names, or null
  new_user_id text,
  session_id text,
  session_expires_in int,
  session_idle_after int,
  device_name text,
  user_agent text,
  network text,
  event_id text,
  user_event_id text,
  actor text,
  request_id text,
  pause_before text,              -- as pause_login takes it
  allowed_user_id text,           -- the user whose login hooks have allowed, or null
  deadline timestamptz
);
create type code_result as (
  event_id text,
  verdict text,                   -- as judge_attempt says; banned; new, known: it pauses
  challenge_id text,
  user_id text,
  is_new_user boolean,
  attempts_remaining int,
  retry_after int,
  events text
);
create type judged_attempt as (
  request submit_code,
  type text,
  user_id text,
  challenge_ids text[],
  verdict text,
  place int,
  attempts_remaining int,
  retry_at timestamptz
);

create function submit_codes(requests submit_code[]) returns setof code_result
language plpgsql
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  deadline constant timestamptz := (select min(r.deadline) from unnest(requests) as r);
  attempts judged_attempt[];
  verdicts text[];
  logins login[];
  banned text[] := '{}';
  new_events new_event[];
  changed int;
  lockable submit_code[] := requests;
  free_users text[];
  left_out text[] := '{}';
begin
  -- 1. Lock the identifiers in one order, and judge what was locked. Without a live code no row is locked: a lock is a
  -- write, and its time would reveal that the identifier is known.
  if cardinality(requests) > 1 then
    select array_agg(r.request) into lockable
    from (select u::submit_code as request, u.tenant_id, u.identifier from unnest(requests) as u order by 2, 3) as r
    cross join lateral (
      select from identifiers i
      where i.tenant_id = r.tenant_id and i.identifier = r.identifier
        and i.code_mac is not null and i.code_expires_at > now() and i.code_purpose = 'login'
      for no key update of i skip locked
    ) as free;
  end if;
  select array_agg(row(x.request, (x.i).type, (x.i).user_id, (x.i).challenge_ids,
      v.verdict, j.place, j.attempts_remaining, j.retry_at)::judged_attempt), array_agg(v.verdict)
  into attempts, verdicts
  from (
    -- The locking subquery runs once per request, in their order, by the primary key.
    select r.request, locked.i
    from (select u::submit_code as request, u.tenant_id, u.identifier from unnest(lockable) as u order by 2, 3) as r
    cross join lateral (
      select i from identifiers i
      where i.tenant_id = r.tenant_id and i.identifier = r.identifier
        and i.code_mac is not null and i.code_expires_at > now() and i.code_purpose = 'login'
      for no key update of i
    ) as locked
  ) as x
  cross join lateral judge_attempt(
    row((x.i).code_mac, (x.i).code_box, (x.i).code_expires_at, (x.i).code_attempts, (x.i).code_attempts_max,
      (x.i).challenge_ids, (x.i).challenge_attempts)::live_code,
    (x.i).wrong_at, (x.i).unnamed_locked_until, (x.i).resend_at, (x.request).code_macs, (x.request).challenge_id) as j
  cross join lateral (
    select case when j.verdict = 'ok' then coalesce(pause_login((x.request).pause_before, (x.request).allowed_user_id,
      (x.i).user_id, (x.request).new_user_id), 'ok') else j.verdict end as verdict
  ) as v;
  if cardinality(requests) > 1 and 'ok' = any(verdicts) then
    select array_agg(locked.id) into free_users
    from (
      select distinct (a.request).tenant_id, a.user_id from unnest(attempts) as a
      where a.verdict = 'ok' and a.user_id is not null order by 1, 2
    ) as known
    cross join lateral (
      select id from users where tenant_id = known.tenant_id and id = known.user_id for no key update skip locked
    ) as locked;
    select array_agg(a), array_agg(a.verdict) into attempts, verdicts from unnest(attempts) as a
    where a.verdict <> 'ok' or a.user_id is null or a.user_id = any(free_users);
  end if;
  perform check_deadline(deadline);

  -- 2. Wrong codes: count them.
  if 'wrong' = any(verdicts) then
    update identifiers i set
      code_attempts = i.code_attempts + ((a.request).challenge_id is null)::int,
      challenge_attempts = count_attempt(i.challenge_attempts, a.place),
      (wrong_at, wrong_streak, unnamed_locked_until) = (select next.* from after_wrong_code(
        i.wrong_at, i.wrong_streak, i.unnamed_locked_until, (a.request).challenge_id is not null) as next)
    from unnest(attempts) as a
    where a.verdict = 'wrong' and i.tenant_id = (a.request).tenant_id and i.identifier = (a.request).identifier;
    get diagnostics changed = row_count;
    if changed <> (select count(*) from unnest(verdicts) as v where v = 'wrong') then
      raise exception 'an identifier is twice in a batch';
    end if;
    update challenges c set status = 'exhausted', closed_at = now()
    from unnest(attempts) as a
    where a.verdict = 'wrong' and a.attempts_remaining = 0
      and c.tenant_id = (a.request).tenant_id and c.id = (a.request).challenge_id and c.status = 'open';
    select array_agg(row((a.request).tenant_id, (a.request).event_id, 'challenge.attempt_failed', (a.request).actor,
      coalesce((a.request).challenge_id, a.challenge_ids[1]), (a.request).request_id, (a.request).network,
      jsonb_build_object('attempts_remaining', a.attempts_remaining))::new_event)
    into new_events
    from unnest(attempts) as a where a.verdict = 'wrong';
  end if;

  -- 3. Right codes: create the new users, consume the codes, close the challenges, open the sessions.
  if 'ok' = any(verdicts) then
    select array_agg(row(r.tenant_id, coalesce(a.user_id, r.new_user_id), a.user_id is null,
      coalesce(r.challenge_id, a.challenge_ids[1]), channel_of(a.type), r.session_id, r.session_expires_in,
      r.session_idle_after, r.device_name, r.user_agent, r.network, r.event_id, r.user_event_id, r.actor, r.request_id)::login)
    into logins
    from unnest(attempts) as a cross join lateral (select (a.request).*) as r where a.verdict = 'ok';
    perform create_users(logins);
    update identifiers i set
      user_id = coalesce(i.user_id, (a.request).new_user_id), code_mac = null, code_box = null,
      code_attempts = i.code_attempts + ((a.request).challenge_id is null)::int,
      challenge_ids = '{}', challenge_attempts = '{}',
      (resend_at, sends, wrong_streak, answered, unanswered) = (
        select next.* from after_right_code(i.answered, i.unanswered, i.sends) as next)
    from unnest(attempts) as a
    where a.verdict = 'ok' and i.tenant_id = (a.request).tenant_id and i.identifier = (a.request).identifier;
    get diagnostics changed = row_count;
    if changed <> cardinality(logins) then
      raise exception 'an identifier is twice in a batch';
    end if;
    update challenges c set
      status = case when c.id = coalesce((a.request).challenge_id, a.challenge_ids[1]) then 'answered' else 'cancelled' end,
      closed_at = now()
    from unnest(attempts) as a
    where a.verdict = 'ok' and c.tenant_id = (a.request).tenant_id and c.id = any(a.challenge_ids) and c.status = 'open';
    select s.banned_users, new_events || s.events_of_logins into banned, new_events
    from open_sessions(logins) as s(banned_users, events_of_logins);
  end if;

  -- 4. Return. A request of a batch with a live code that was not judged is left out.
  if cardinality(requests) > coalesce(cardinality(attempts), 0) and cardinality(requests) > 1 then
    select coalesce(array_agg(r.event_id), '{}') into left_out
    from unnest(requests) as r
    cross join lateral (
      select from identifiers i
      where i.tenant_id = r.tenant_id and i.identifier = r.identifier
        and i.code_mac is not null and i.code_expires_at > now() and i.code_purpose = 'login'
    ) as live
    where r.event_id <> all(select (a.request).event_id from unnest(attempts) as a);
  end if;
  if new_events is not null then
    perform record_events(new_events);
  end if;
  perform check_deadline(deadline);
  return query
  select r.event_id, case when a.verdict = 'ok' and a.user_id = any(banned) then 'banned' else coalesce(a.verdict, 'none') end,
    coalesce(r.challenge_id, a.challenge_ids[1]),
    case when a.verdict in ('ok', 'new', 'known') and coalesce(a.user_id <> all(banned), true)
      then coalesce(a.user_id, r.new_user_id) end,
    coalesce(a.verdict in ('ok', 'new') and a.user_id is null, false),
    a.attempts_remaining,
    -- The time when the next code may be sent, or when callers without a challenge may submit codes again.
    case when a.verdict in ('exhausted', 'locked') then ceil(extract(epoch from a.retry_at - now()))::int end,
    events_json(new_events, r.event_id, r.user_event_id)
  from unnest(requests) as r left join unnest(attempts) as a on (a.request).event_id = r.event_id
  where r.event_id <> all(left_out);
end
$$;
