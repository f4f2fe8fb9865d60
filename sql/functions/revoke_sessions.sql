-- End a user's sessions but one. Returns their ids. Runs as a separate statement after the lock of the user, so that it
-- sees the sessions of concurrent logins.
create function revoke_sessions(tenant_id text, user_id text, kept_session_id text) returns text[]
language plpgsql
as $$
declare
  ids text[];
begin
  with revoked as (
    update sessions s set revoked_at = now()
    where s.tenant_id = revoke_sessions.tenant_id and s.user_id = revoke_sessions.user_id and s.revoked_at is null
      and s.id <> kept_session_id
    returning s.id
  )
  select array_agg(r.id) into ids from revoked as r;
  return coalesce(ids, '{}');
end
$$;
