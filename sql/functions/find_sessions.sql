-- Find live sessions with their users, for checks of tokens. Returns a row for each request, whose user_id is null without a
-- live session.
create type find_session as (
  tenant_id text,
  session_id text
);
create type found_session as (
  tenant_id text,
  session_id text,
  user_id text,
  channel text,
  opened_at float8,
  ends_at float8,
  phone text,
  email text,
  created_at timestamptz,
  last_login_at timestamptz,
  metadata text,
  user_metadata text
);

create function find_sessions(requests find_session[]) returns setof found_session
language plpgsql stable
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
begin
  return query
  select r.tenant_id, r.session_id, live.*
  from unnest(requests) as r
  left join lateral (
    select s.user_id, s.channel, extract(epoch from s.created_at)::float8, extract(epoch from least(s.expires_at, s.idle_at))::float8,
      i.phone, i.email, u.created_at, u.last_login_at, u.metadata::text, u.user_metadata::text
    -- The limits let the planner of a small or new database read each row by its key, not all rows of the tenant.
    from (select * from sessions where tenant_id = r.tenant_id and id = r.session_id limit 1) as s
    cross join lateral (select * from users where tenant_id = s.tenant_id and id = s.user_id limit 1) as u
    join tenants t on t.id = split_part(s.tenant_id, ':', 1)
    cross join lateral (
      select max(identifier) filter (where type = 'phone') as phone, max(identifier) filter (where type = 'email') as email
      from identifiers where tenant_id = s.tenant_id and user_id = s.user_id
    ) as i
    where s.revoked_at is null and least(s.expires_at, s.idle_at) > now() and s.created_at >= t.sessions_from
      and coalesce(u.banned_until, '-infinity') <= now()
  ) as live on true;
end
$$;
