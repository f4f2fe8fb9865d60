-- Exchange the code of a hosted login for a grant, once. A wrong client, redirect URI or verifier leaves the code as it is.
-- The right ones after that revoke the grant: one of the two callers has copied the code. Repeating a call, with its own
-- grant_id, is safe. Locks: login, user, session, consent.
create type redeem_code as (
  tenant_id text,
  login_id text,
  number smallint,                -- of the code
  client_id text,                 -- that has authenticated
  redirect_uri text,
  code_challenge text,            -- of the verifier; null: none was sent
  grant_id text,
  grant_expires_in int,           -- seconds
  max_grants int,                 -- of a session for the client
  event_id text,
  replaced_event_ids text[],      -- of the grants that this one replaces, which limits their number
  actor text,
  request_id text,
  network text,
  deadline timestamptz
);
create function redeem_code(request redeem_code) returns grant_exchange
language plpgsql
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  l logins;
  s sessions;
  u users;
  new_scopes text[];
  new_events new_event[];
  replaced_events new_event[];
  result grant_exchange;
begin
  result.verdict := 'none';
  -- 1. Lock the login, and compare.
  select * into l from logins as o
  where o.tenant_id = request.tenant_id and o.id = request.login_id for no key update;
  perform check_deadline(request.deadline);
  if not found or l.step <> 'done' or l.client_id is distinct from request.client_id
    or l.request ->> 'redirect_uri' is distinct from request.redirect_uri
    or l.request ->> 'code_challenge' is distinct from request.code_challenge then
    return result;
  end if;
  if l.redeemed_at is not null and l.grant_id is distinct from request.grant_id then
    update grants g set revoked_at = now()
    where g.tenant_id = l.tenant_id and g.id = l.grant_id and g.revoked_at is null
    returning g.user_id into result.user_id;
    if found then
      new_events := array[row(l.tenant_id, request.event_id, 'grant.revoked', request.actor, l.grant_id, request.request_id,
        request.network, jsonb_build_object('user_id', result.user_id, 'reason', 'code_reused'))::new_event];
      perform record_events(new_events);
      result.events := events_json(new_events, request.event_id, null);
    end if;
    result.verdict := 'reused';
    return result;
  end if;
  if l.code_number <> request.number or l.code_expires_at <= now() then
    return result;
  end if;

  -- 2. The user, the session and the consent of the login are live, and stay so until the grant is committed. The consent
  -- may have ended since the login was done.
  select * into u from users as o where o.tenant_id = l.tenant_id and o.id = l.user_id for key share;
  if not found or u.banned_until > now() then
    return result;
  end if;
  select o.* into s from sessions as o join tenants t on t.id = split_part(o.tenant_id, ':', 1)
  where o.tenant_id = l.tenant_id and o.id = l.session_id and o.user_id = l.user_id and o.revoked_at is null
    and least(o.expires_at, o.idle_at) > now() and o.created_at >= t.sessions_from
  for share of o;
  if not found then
    return result;
  end if;
  if l.redeemed_at is null then
    select array_agg(scope) into new_scopes from jsonb_array_elements_text(l.request -> 'scopes') as scope;
    perform from consents c
    where c.tenant_id = l.tenant_id and c.user_id = l.user_id and c.client_id = l.client_id for share;
    if needs_consent(row(l.tenant_id, l.user_id, l.client_id, coalesce(new_scopes, '{}'))::wanted_consent) then
      return result;
    end if;
  end if;

  -- 3. Grant. After a lost connection the grant of this call is there already.
  if l.redeemed_at is null then
    insert into grants (tenant_id, id, client_id, user_id, session_id, is_offline, scopes, acr, amr, authenticated_at, expires_at)
    values (l.tenant_id, request.grant_id, l.client_id, l.user_id, l.session_id,
      coalesce('offline_access' = any(new_scopes), false), coalesce(new_scopes, '{}'), coalesce(s.acr, 1),
      coalesce(s.amr, case s.channel when 'sms' then array['otp', 'sms'] else array['otp'] end),
      coalesce(s.authenticated_at, s.created_at), now() + request.grant_expires_in * interval '1 s');
    update logins o set redeemed_at = now(), grant_id = request.grant_id
    where o.tenant_id = l.tenant_id and o.id = l.id;
    -- A ban, a logout and an erasure end all grants of a session in one statement. So a session has a limited number of each
    -- application: a new one replaces one that has ended, or else the one that was not used for longest. After concurrent
    -- exchanges it replaces several.
    with replaced as (
      delete from grants o where o.tenant_id = l.tenant_id and o.id = any(array(
        select g.id from grants as g
        where g.tenant_id = l.tenant_id and g.id = any(array(
          select n.id from grants as n
          where n.tenant_id = l.tenant_id and n.session_id = l.session_id and n.client_id = l.client_id
          order by n.revoked_at is null and n.expires_at > now() desc, coalesce(n.refreshed_at, n.created_at) desc, n.id desc
          offset request.max_grants))
        order by g.revoked_at is null and g.expires_at > now(), coalesce(g.refreshed_at, g.created_at), g.id
        limit cardinality(request.replaced_event_ids) for update skip locked))
      returning o.id, o.revoked_at is null and o.expires_at > now() as was_live
    ), ended as (
      select id, request.replaced_event_ids[row_number() over (order by id)] as event_id from replaced where was_live
    )
    select array_agg(row(l.tenant_id, e.event_id, 'grant.revoked', request.actor, e.id, request.request_id, request.network,
      jsonb_build_object('user_id', l.user_id, 'reason', 'replaced'))::new_event)
    into replaced_events from ended as e;
    new_events := array[row(l.tenant_id, request.event_id, 'grant.created', request.actor, request.grant_id,
      request.request_id, request.network,
      jsonb_build_object('user_id', l.user_id, 'session_id', l.session_id, 'client_id', l.client_id))::new_event]
      || replaced_events;
    perform record_events(new_events);
    perform check_deadline(request.deadline);
    result.events := (select json_agg(e) from unnest(new_events) as e);
  else
    result.events := find_events(l.tenant_id, request.event_id);
  end if;

  -- 4. Return.
  select g.id, g.scopes, g.acr, g.amr, extract(epoch from g.authenticated_at)::float8
  into result.grant_id, result.scopes, result.acr, result.amr, result.authenticated_at
  from grants g where g.tenant_id = l.tenant_id and g.id = request.grant_id;
  result.verdict := 'ok';
  result.number := 0;
  result.user_id := l.user_id;
  result.session_id := l.session_id;
  result.nonce := l.request ->> 'nonce';
  result.metadata := u.metadata::text;
  result.user_metadata := u.user_metadata::text;
  select max(i.identifier) filter (where i.type = 'phone'), max(i.identifier) filter (where i.type = 'email')
  into result.phone, result.email
  from identifiers i where i.tenant_id = l.tenant_id and i.user_id = l.user_id;
  return result;
end
$$;
