-- Begin hosted logins of applications. With a user, a login continues the session of the browser. The lock of the user keeps
-- an erasure from missing the row, so such a request is a batch of its own, which may wait. A login that is done already
-- gets its first code. Repeating is safe.
-- The row of a pushed request exists already: such a request is a batch of its own, too. It may be begun again, because the
-- response may have been lost with the cookie, until the user has acted, or in the session that it continues.
create type start_login as (
  tenant_id text,
  login_id text,
  browser_digest bytea,
  client_id text,
  request text,                   -- JSON
  step text,
  user_id text,
  session_id text,
  amr text[],
  identifier text,
  channel text,
  code_life_s int,                -- of the code of a login that is done
  deadline timestamptz
);
create type started_login as (
  tenant_id text,
  login_id text,
  is_started boolean              -- false: the user was erased, or another browser has begun the pushed request
);

create function start_logins(requests start_login[]) returns setof started_login
language plpgsql
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  deadline constant timestamptz := (select min(r.deadline) from unnest(requests) as r);
begin
  if exists (select from unnest(requests) as r where r.user_id is not null) then
    if cardinality(requests) > 1 then
      raise exception 'a login that continues a session is a batch of its own';
    end if;
    perform from users u where u.tenant_id = requests[1].tenant_id and u.id = requests[1].user_id for key share;
    if not found then
      return query select requests[1].tenant_id, requests[1].login_id, false;
      return;
    end if;
    perform check_deadline(deadline);
  end if;
  return query
  with begun as (
    insert into logins as l (tenant_id, id, browser_digest, client_id, request, step, user_id, session_id, amr, identifier,
      channel, code_number, code_expires_at)
    select r.tenant_id, r.login_id, r.browser_digest, r.client_id, r.request::jsonb, r.step, r.user_id, r.session_id, r.amr,
      r.identifier, r.channel, (r.step = 'done')::int,
      case when r.step = 'done' then now() + r.code_life_s * interval '1 s' end
    from unnest(requests) as r
    on conflict (tenant_id, id) do update
    set browser_digest = excluded.browser_digest, step = excluded.step, user_id = excluded.user_id,
      session_id = excluded.session_id, amr = excluded.amr, identifier = excluded.identifier, channel = excluded.channel,
      code_number = greatest(l.code_number, excluded.code_number),
      code_expires_at = coalesce(l.code_expires_at, excluded.code_expires_at), expires_at = excluded.expires_at
    where l.redeemed_at is null and (l.step in ('start', 'account')
      or l.step in ('consent', 'done') and l.session_id = excluded.session_id)
    returning l.tenant_id, l.id
  )
  select r.tenant_id, r.login_id, b.id is not null
  from unnest(requests) as r left join begun as b on b.tenant_id = r.tenant_id and b.id = r.login_id;
  perform check_deadline(deadline);
end
$$;
