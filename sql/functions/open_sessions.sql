-- Open the session of each login, unless its user is banned. Locks the users that exist, in one order, after the
-- identifiers. Returns the banned users, and the events of all logins, for record_events.
create function open_sessions(logins login[], out banned text[], out new_events new_event[])
language plpgsql
as $$
begin
  banned := '{}';
  if false = any(select l.is_new_user from unnest(logins) as l) then
    -- A separate statement: it sees a ban that was committed during the wait for the user's row.
    select coalesce(array_agg(locked.id) filter (where locked.banned_until > now()), '{}') into banned
    from (
      select u.id, u.banned_until
      from (select l.tenant_id, l.user_id from unnest(logins) as l where not l.is_new_user order by 1, 2) as known
      cross join lateral (
        select id, banned_until from users where tenant_id = known.tenant_id and id = known.user_id for no key update
      ) as u
    ) as locked;
    update users u set last_login_at = now()
    from unnest(logins) as l
    where not l.is_new_user and u.tenant_id = l.tenant_id and u.id = l.user_id and u.id <> all(banned);
  end if;

  insert into sessions (tenant_id, id, user_id, channel, device_name, user_agent, network, expires_at, idle_at)
  select l.tenant_id, l.session_id, l.user_id, l.channel, l.device_name, l.user_agent, l.network,
    now() + l.session_expires_in * interval '1 s', now() + l.session_idle_after * interval '1 s'
  from unnest(logins) as l where l.user_id <> all(banned);

  select array_agg(e) into new_events from (
    select l.tenant_id, l.event_id, case when b.is_banned then 'login.denied' else 'challenge.answered' end, l.actor,
      l.challenge_id, l.request_id, l.network,
      case when b.is_banned then jsonb_build_object('user_id', l.user_id)
        else jsonb_build_object('user_id', l.user_id, 'session_id', l.session_id, 'is_new_user', l.is_new_user) end
    from unnest(logins) as l cross join lateral (select l.user_id = any(banned) as is_banned) as b
    union all
    select l.tenant_id, l.user_event_id, 'user.created', l.actor, l.user_id, l.request_id, l.network,
      jsonb_build_object('challenge_id', l.challenge_id)
    from unnest(logins) as l where l.is_new_user
  ) as e(tenant_id, id, type, actor, subject, request_id, network, data);
end
$$;
