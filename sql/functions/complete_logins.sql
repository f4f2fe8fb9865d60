-- The users of hosted logins are known: keep their sessions, mark these as those of browsers, and replace the cookie in the
-- newest logins of each browser. A program can begin thousands with one cookie: older ones keep a cookie that the browser no
-- longer has, and expire. The next step is the profile, for an identifier that is missing; the consent; or the end, with the
-- first code for the application. A request whose login is not waiting for a user changes nothing.
-- Locks: the logins of a browser in one order, so that two tabs wait for each other; the user, so that an erasure does not
-- miss the row; the session. A browser is at most once in a batch. A batch waits for none of them: a request for a row that
-- is locked by another transaction, or of a browser with more logins, is left out of the result, and its caller repeats it
-- singly. A login that the browser begins after these locks is not waited for: the redemption of its code may wait for the
-- session, so that both would wait for each other.
create type complete_login as (
  tenant_id text,
  login_id text,
  browser_digest bytea,
  new_digest bytea,               -- of the new cookie
  identifier text,
  channel text,
  user_id text,
  session_id text,
  amr text[],
  adding text,                    -- the type of an identifier that is missing, or null
  code_life_s int,
  deadline timestamptz
);
create type completed_login as (
  tenant_id text,
  login_id text,
  browser_digest bytea,           -- of the old cookie
  step text                       -- null: the login was not waiting for a user
);
create type judged_login as (
  request complete_login,
  step text,
  has_code boolean                -- the application gets its code
);

create function complete_logins(requests complete_login[]) returns setof completed_login
language plpgsql
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  deadline constant timestamptz := (select min(r.deadline) from unnest(requests) as r);
  locked complete_login[] := requests;
  judged judged_login[];
  logins_locked bigint;
  has_other_tabs boolean;
  max_tabs constant int := 50;    -- logins of a browser that get its new cookie, beside the completed one
begin
  -- 1. Lock.
  if cardinality(requests) = 1 then
    perform from logins l
    where l.tenant_id = requests[1].tenant_id and l.browser_digest = requests[1].browser_digest and l.id = any(array(
      select n.id from logins as n
      where n.tenant_id = requests[1].tenant_id and n.browser_digest = requests[1].browser_digest
      order by n.expires_at desc, n.id desc limit max_tabs + 1) || requests[1].login_id)
    order by l.expires_at, l.id for no key update;
    get diagnostics logins_locked = row_count;
    has_other_tabs := logins_locked > 1;
    perform from users u where u.tenant_id = requests[1].tenant_id and u.id = requests[1].user_id for key share;
    perform from sessions s where s.tenant_id = requests[1].tenant_id and s.id = requests[1].session_id for no key update;
  else
    select array_agg(r.request), bool_or(tabs_locked.number > 1) into locked, has_other_tabs
    from (
      select u::complete_login as request, u.tenant_id, u.browser_digest, u.user_id, u.session_id
      from unnest(requests) as u order by 2, 3
    ) as r
    cross join lateral (
      select count(*) as number from (
        select from logins l where l.tenant_id = r.tenant_id and l.browser_digest = r.browser_digest
        order by l.expires_at, l.id limit max_tabs + 1 for no key update skip locked
      ) as locked_tab
    ) as tabs_locked
    cross join lateral (
      select count(*) as number from (
        select from logins l where l.tenant_id = r.tenant_id and l.browser_digest = r.browser_digest limit max_tabs + 1
      ) as tab
    ) as tabs
    cross join lateral (
      select from users u where u.tenant_id = r.tenant_id and u.id = r.user_id for key share skip locked
    ) as locked_user
    cross join lateral (
      select from sessions s where s.tenant_id = r.tenant_id and s.id = r.session_id for no key update skip locked
    ) as locked_session
    where tabs_locked.number = tabs.number and tabs.number <= max_tabs;
  end if;
  perform check_deadline(deadline);

  -- 2. Judge. A statement after the lock sees what was committed during the wait.
  select array_agg(row(r, n.step, n.step = 'done' and l.client_id is not null)::judged_login) into judged
  from unnest(locked) as r
  cross join lateral (
    select * from logins
    where tenant_id = r.tenant_id and id = r.login_id and browser_digest = r.browser_digest limit 1
  ) as l
  cross join lateral (
    select case
      when r.adding is not null then 'profile'
      when l.client_id is null then 'done'
      when l.request -> 'prompt' ? 'consent' then 'consent'
      when needs_consent(row(r.tenant_id, r.user_id, l.client_id,
        array(select jsonb_array_elements_text(l.request -> 'scopes')))::wanted_consent) then 'consent'
      else 'done' end as step
  ) as n
  where l.step in ('code', 'waiting', 'account') and l.expires_at > now()
    and exists (select from users u where u.tenant_id = r.tenant_id and u.id = r.user_id);

  -- 3. Complete.
  if judged is not null then
    update logins l set step = j.step, identifier = (j.request).identifier, channel = (j.request).channel,
      user_id = (j.request).user_id, session_id = (j.request).session_id, amr = (j.request).amr,
      browser_digest = (j.request).new_digest, adding = (j.request).adding,
      challenge_id = null, code_length = null, resend_at = null, link_box = null,
      code_number = l.code_number + j.has_code::int,
      code_expires_at = case when j.has_code then now() + (j.request).code_life_s * interval '1 s' else l.code_expires_at end
    from unnest(judged) as j
    where l.tenant_id = (j.request).tenant_id and l.id = (j.request).login_id;
    if has_other_tabs then
      update logins l set browser_digest = (j.request).new_digest
      from unnest(judged) as j
      where l.tenant_id = (j.request).tenant_id and l.id = any(array(
        select n.id from logins as n
        where n.tenant_id = (j.request).tenant_id and n.browser_digest = (j.request).browser_digest
        order by n.expires_at desc, n.id desc limit max_tabs for no key update skip locked));
    end if;
    update sessions s set kind = 'browser', amr = (j.request).amr
    from unnest(judged) as j
    where s.tenant_id = (j.request).tenant_id and s.id = (j.request).session_id;
  end if;

  -- 4. Return.
  perform check_deadline(deadline);
  return query
  select r.tenant_id, r.login_id, r.browser_digest, j.step
  from unnest(requests) as r
  left join unnest(judged) as j
    on (j.request).tenant_id = r.tenant_id and (j.request).login_id = r.login_id and (j.request).browser_digest = r.browser_digest
  where cardinality(requests) = 1
    or exists (
      select from unnest(locked) as k
      where k.tenant_id = r.tenant_id and k.login_id = r.login_id and k.browser_digest = r.browser_digest);
end
$$;
