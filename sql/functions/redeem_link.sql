-- Open the session of a confirmed link, once, and find or create its user: by authorization code and PKCE within 60 s, or
-- by the secret of the requesting tab while the link is live, unless the link redirects. Of concurrent redemptions one
-- succeeds. Rows are locked in one order: identifiers, links, users, sessions.
create type redeem_link as (
  tenant_id text,
  grant_digest bytea,             -- of the authorization code, or null
  code_challenge text,
  challenge_id text,              -- or null
  secret_digest bytea,
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
create type link_result as (
  verdict text,                   -- ok, banned, pending (not confirmed yet), none; new, known: paused
  challenge_id text,
  identifier text,
  user_id text,
  is_new_user boolean,
  events text
);

create function redeem_link(request redeem_link) returns link_result
language plpgsql
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  link links;
  i identifiers;
  logins login[];
  pause text;
  banned text[];
  new_events new_event[];
  result link_result := row('none', null, null, null, false, null);
begin
  -- 1. Lock the identifier, then the link.
  select * into link from links l
  where l.tenant_id = request.tenant_id and (
    l.grant_digest = request.grant_digest and l.redirect_to is not null and l.code_challenge = request.code_challenge
      and l.confirmed_at > now() - interval '60 s'
    or l.challenge_id = request.challenge_id and l.secret_digest = request.secret_digest and l.redirect_to is null
      and greatest(l.expires_at, l.confirmed_at + interval '60 s') > now());
  if not found then
    return result;
  end if;
  select * into i from identifiers as n
  where n.tenant_id = link.tenant_id and n.identifier = link.identifier for no key update;
  if not found then
    return result;
  end if;
  select * into link from links l
  where l.tenant_id = link.tenant_id and l.message_id = link.message_id for no key update;
  perform check_deadline(request.deadline);
  if link.confirmed_at is null then
    if i.code_mac is not null and i.code_expires_at > now() and link.challenge_id = any(i.challenge_ids) then
      result.verdict := 'pending';
    end if;
    return result;
  elsif link.redeemed_at is not null then
    return result;
  end if;
  pause := pause_login(request.pause_before, request.allowed_user_id, i.user_id, request.new_user_id);
  if pause is not null then
    return row(pause, link.challenge_id, link.identifier, coalesce(i.user_id, request.new_user_id), i.user_id is null,
      null)::link_result;
  end if;

  -- 2. Redeem it: create the user if there is none, and open the session.
  update links l set redeemed_at = now() where l.tenant_id = link.tenant_id and l.message_id = link.message_id;
  logins := array[row(request.tenant_id, coalesce(i.user_id, request.new_user_id), i.user_id is null, link.challenge_id,
    channel_of(i.type), request.session_id, request.session_expires_in, request.session_idle_after, request.device_name,
    request.user_agent, request.network, request.event_id, request.user_event_id, request.actor, request.request_id)::login];
  if i.user_id is null then
    perform create_users(logins);
    update identifiers as u set user_id = request.new_user_id where u.tenant_id = i.tenant_id and u.identifier = i.identifier;
  end if;
  select s.banned, s.new_events into banned, new_events from open_sessions(logins) as s;
  perform record_events(new_events);
  perform check_deadline(request.deadline);

  -- 3. Return.
  return row(case when banned = '{}' then 'ok' else 'banned' end, link.challenge_id, link.identifier,
    coalesce(i.user_id, request.new_user_id), i.user_id is null,
    events_json(new_events, request.event_id, request.user_event_id))::link_result;
end
$$;
