-- Return the ids of a user's live sessions.
create function live_sessions(tenant_id text, user_id text) returns text[]
language sql stable
as $$
  select array(
    select s.id from sessions s
    where s.tenant_id = live_sessions.tenant_id and s.user_id = live_sessions.user_id
      and s.revoked_at is null and least(s.expires_at, s.idle_at) > now())
$$;
