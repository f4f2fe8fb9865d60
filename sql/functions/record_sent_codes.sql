-- A code or a link was sent in a hosted login, or a code that was sent before is still valid: `challenge_id` is then null.
-- Repeating is safe. A login is at most once in a batch. A batch waits for no login: one that is locked by another
-- transaction is left out of the result, and its caller repeats it singly.
create type record_sent_code as (
  tenant_id text,
  login_id text,
  browser_digest bytea,
  step text,                      -- code, or waiting for a link
  identifier text,
  channel text,
  challenge_id text,
  code_length int,
  resend_after int,               -- seconds
  link_box bytea,
  deadline timestamptz
);
create type recorded_sent_code as (
  tenant_id text,
  login_id text,
  is_recorded boolean             -- false: the login has moved on, or belongs to another browser
);

create function record_sent_codes(requests record_sent_code[]) returns setof recorded_sent_code
language plpgsql
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  deadline constant timestamptz := (select min(r.deadline) from unnest(requests) as r);
  locked record_sent_code[] := requests;
  recorded recorded_sent_code[];
begin
  if cardinality(requests) > 1 then
    select array_agg(r.request) into locked
    from (select u::record_sent_code as request, u.tenant_id, u.login_id from unnest(requests) as u order by 2, 3) as r
    cross join lateral (
      select from logins l where l.tenant_id = r.tenant_id and l.id = r.login_id for no key update of l skip locked
    ) as locked_login;
  end if;
  perform check_deadline(deadline);
  with moved as (
    update logins l set step = r.step, identifier = r.identifier, channel = r.channel, challenge_id = r.challenge_id,
      code_length = r.code_length, resend_at = now() + r.resend_after * interval '1 s', link_box = r.link_box
    from unnest(locked) as r
    where l.tenant_id = r.tenant_id and l.id = r.login_id and l.browser_digest = r.browser_digest
      and l.step in ('start', 'code', 'waiting')
    returning l.tenant_id, l.id
  )
  select array_agg(row(tenant_id, id, true)::recorded_sent_code) into recorded from moved;
  perform check_deadline(deadline);
  return query
  select r.tenant_id, r.login_id, d.login_id is not null
  from unnest(requests) as r
  left join unnest(recorded) as d on d.tenant_id = r.tenant_id and d.login_id = r.login_id
  where d.login_id is not null or cardinality(locked) = cardinality(requests)
    or exists (select from unnest(locked) as k where k.tenant_id = r.tenant_id and k.login_id = r.login_id)
    or not exists (select from logins l where l.tenant_id = r.tenant_id and l.id = r.login_id);
end
$$;
