-- Find a live grant with its user, for checks of access tokens and refresh tokens. All fields are null without one.
create type find_grant as (
  tenant_id text,
  grant_id text
);
create type found_grant as (
  client_id text,
  user_id text,
  session_id text,
  scopes text[],
  refreshes int,
  expires_at float8,
  used_at float8,                 -- the last refresh, or the login
  phone text,
  email text,
  metadata text,
  user_metadata text
);

create function find_grant(request find_grant) returns found_grant
language plpgsql stable
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  g grants;
  result found_grant;
begin
  select * into g from grants as o where o.tenant_id = request.tenant_id and o.id = request.grant_id;
  if not found or not is_grant_live(g) then
    return result;
  end if;
  select g.client_id, g.user_id, g.session_id, g.scopes, g.refreshes, extract(epoch from g.expires_at)::float8,
    extract(epoch from coalesce(g.refreshed_at, g.created_at))::float8, i.phone, i.email, u.metadata::text, u.user_metadata::text
  into result
  from users u
  cross join lateral (
    select max(identifier) filter (where type = 'phone') as phone, max(identifier) filter (where type = 'email') as email
    from identifiers where tenant_id = u.tenant_id and user_id = u.id
  ) as i
  where u.tenant_id = g.tenant_id and u.id = g.user_id;
  return result;
end
$$;
