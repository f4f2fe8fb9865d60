-- Rotate the refresh token of a grant, by the rules of refresh_sessions: a token that was exchanged within the grace period
-- gets the live one, and one that is used later was copied and revokes the grant. Repeating is safe.
create type refresh_grant as (
  tenant_id text,
  grant_id text,
  number int,                     -- of the token
  client_id text,                 -- that has authenticated
  grace_s int,
  idle_after int,                 -- seconds
  event_id text,
  actor text,
  request_id text,
  network text,
  deadline timestamptz
);
create function refresh_grant(request refresh_grant) returns grant_exchange
language plpgsql
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  g grants;
  u users;
  new_events new_event[];
  result grant_exchange;
begin
  result.verdict := 'none';
  -- 1. Lock the grant, and judge.
  select * into g from grants as o
  where o.tenant_id = request.tenant_id and o.id = request.grant_id and o.client_id = request.client_id
  for no key update;
  perform check_deadline(request.deadline);
  if not found or not is_grant_live(g) or coalesce(g.refreshed_at, g.created_at) + request.idle_after * interval '1 s' <= now() then
    return result;
  end if;
  -- A number ahead of the row's was issued by a commit that a restored backup does not contain.
  if request.number >= g.refreshes then
    result.verdict := 'rotated';
    result.number := request.number + 1;
    update grants o set refreshes = result.number, refreshed_at = now(),
      rotated_at = case when request.number = o.refreshes then (now() || o.rotated_at)[1:20] else array[now()] end
    where o.tenant_id = g.tenant_id and o.id = g.id;
  elsif g.rotated_at[g.refreshes - request.number] > now() - request.grace_s * interval '1 s' then
    result.verdict := 'repeated';
    result.number := g.refreshes;
  else
    update grants o set revoked_at = now() where o.tenant_id = g.tenant_id and o.id = g.id;
    new_events := array[row(g.tenant_id, request.event_id, 'grant.revoked', request.actor, g.id, request.request_id,
      request.network, jsonb_build_object('user_id', g.user_id, 'reason', 'token_reused'))::new_event];
    perform record_events(new_events);
    perform check_deadline(request.deadline);
    result.verdict := 'reused';
    result.events := events_json(new_events, request.event_id, null);
    return result;
  end if;
  perform check_deadline(request.deadline);

  -- 2. Return the grant and the claims of its user.
  select * into u from users as o where o.tenant_id = g.tenant_id and o.id = g.user_id;
  result.grant_id := g.id;
  result.user_id := g.user_id;
  result.session_id := g.session_id;
  result.scopes := g.scopes;
  result.acr := g.acr;
  result.amr := g.amr;
  result.authenticated_at := extract(epoch from g.authenticated_at)::float8;
  result.metadata := u.metadata::text;
  result.user_metadata := u.user_metadata::text;
  select max(i.identifier) filter (where i.type = 'phone'), max(i.identifier) filter (where i.type = 'email')
  into result.phone, result.email
  from identifiers i where i.tenant_id = g.tenant_id and i.user_id = g.user_id;
  return result;
end
$$;
