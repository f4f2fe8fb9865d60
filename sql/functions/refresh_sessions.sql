-- Rotate the refresh tokens of sessions, each once. A token that was exchanged within the grace period gets the live one,
-- however many came after it: responses can be lost in a row. A token that is used later was copied, and revokes the
-- session. A number ahead of the row's was issued by a commit that a restored backup does not contain. Repeating is safe.
-- A session is at most once in a batch. A batch waits for no session: one that is locked by another transaction is left out
-- of the result, and its caller repeats it singly.
create type refresh_session as (
  tenant_id text,
  session_id text,
  number int,                     -- of the token
  grace_s int,
  idle_after int,                 -- seconds
  event_id text,
  actor text,
  request_id text,
  network text,
  is_preview boolean,             -- judge, and rotate nothing
  deadline timestamptz
);
create type refreshed_session as (
  tenant_id text,
  session_id text,
  verdict text,                   -- rotated, repeated; reused, revoked; unknown
  number int,                     -- of the live token
  user_id text,
  channel text,
  identifier text,
  events text
);
create type judged_refresh as (
  request refresh_session,
  verdict text,
  number int,
  user_id text,
  channel text
);

create function refresh_sessions(requests refresh_session[]) returns setof refreshed_session
language plpgsql
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  deadline constant timestamptz := (select min(r.deadline) from unnest(requests) as r);
  lockable refresh_session[] := requests;
  left_out text[] := '{}';
  judged judged_refresh[];
  verdicts text[];
  new_events new_event[];
begin
  -- 1. Lock the sessions in one order, and judge.
  if cardinality(requests) > 1 then
    select array_agg(r.request) into lockable
    from (select u::refresh_session as request, u.tenant_id, u.session_id from unnest(requests) as u order by 2, 3) as r
    cross join lateral (
      select from sessions s where s.tenant_id = r.tenant_id and s.id = r.session_id for no key update of s skip locked
    ) as free;
  end if;
  select array_agg(row(x.request, j.verdict, case j.verdict when 'rotated' then (x.request).number + 1 else (x.s).refreshes end,
      (x.s).user_id, (x.s).channel)::judged_refresh), array_agg(j.verdict)
  into judged, verdicts
  from (
    select r.request, locked.s
    from (select u::refresh_session as request, u.tenant_id, u.session_id from unnest(lockable) as u order by 2, 3) as r
    cross join lateral (
      select s from sessions s where s.tenant_id = r.tenant_id and s.id = r.session_id for no key update of s
    ) as locked
  ) as x
  join tenants t on t.id = split_part((x.request).tenant_id, ':', 1)
  cross join lateral (
    select case
      when (x.s).revoked_at is not null or (x.s).created_at < t.sessions_from then 'revoked'
      when least((x.s).expires_at, (x.s).idle_at) <= now() then 'revoked'
      when (x.request).number >= (x.s).refreshes then 'rotated'
      -- An older release writes refreshed_at only, so the last rotation is read from there.
      when case when (x.request).number = (x.s).refreshes - 1 then (x.s).refreshed_at
          else (x.s).rotated_at[(x.s).refreshes - (x.request).number] end
        > now() - (x.request).grace_s * interval '1 s' then 'repeated'
      else 'reused' end as verdict
  ) as j;

  -- 2. Rotate.
  if 'rotated' = any(verdicts) then
    update sessions s set refreshes = j.number, refreshed_at = now(), last_used_at = now(),
      rotated_at = case when (j.request).number = s.refreshes then (now() || s.rotated_at)[1:20] else array[now()] end,
      idle_at = least(now() + (j.request).idle_after * interval '1 s', s.expires_at)
    from unnest(judged) as j
    where j.verdict = 'rotated' and (j.request).is_preview is not true
      and s.tenant_id = (j.request).tenant_id and s.id = (j.request).session_id;
  end if;

  -- 3. Revoke the sessions of copied tokens.
  if 'reused' = any(verdicts) then
    update sessions s set revoked_at = now()
    from unnest(judged) as j
    where j.verdict = 'reused' and s.tenant_id = (j.request).tenant_id and s.id = (j.request).session_id;
    select array_agg(row((j.request).tenant_id, (j.request).event_id, 'session.revoked', (j.request).actor,
      (j.request).session_id, (j.request).request_id, (j.request).network,
      jsonb_build_object('user_id', j.user_id, 'reason', 'token_reused'))::new_event)
    into new_events
    from unnest(judged) as j where j.verdict = 'reused';
    perform record_events(new_events);
  end if;
  perform check_deadline(deadline);

  -- 4. Return. A session of a batch that exists and was not judged is left out.
  if cardinality(requests) > coalesce(cardinality(judged), 0) and cardinality(requests) > 1 then
    select coalesce(array_agg(r.session_id), '{}') into left_out
    from unnest(requests) as r
    cross join lateral (select from sessions s where s.tenant_id = r.tenant_id and s.id = r.session_id) as existing
    where not exists (
      select from unnest(judged) as j
      where (j.request).tenant_id = r.tenant_id and (j.request).session_id = r.session_id);
  end if;
  return query
  select r.tenant_id, r.session_id, coalesce(j.verdict, 'unknown'), j.number, j.user_id, j.channel,
    -- A filter, because a plain maximum may be read by the order of the primary key: all identifiers of the tenant.
    (select max(i.identifier) filter (where channel_of(i.type) = j.channel) from identifiers i
     where i.tenant_id = r.tenant_id and i.user_id = j.user_id),
    events_json(new_events, r.event_id, null)
  from unnest(requests) as r left join unnest(judged) as j
    on (j.request).tenant_id = r.tenant_id and (j.request).session_id = r.session_id
  where r.session_id <> all(left_out);
end
$$;
