-- Lock the user of a session, after its identifiers. Returns false if, after the check of the token, the user was erased or
-- banned, or the session was revoked.
create function lock_user(tenant_id text, user_id text, session_id text) returns boolean
language plpgsql
as $$
begin
  perform from users u where u.tenant_id = lock_user.tenant_id and u.id = lock_user.user_id for no key update;
  return exists (
    select from users u
    join sessions s on s.tenant_id = u.tenant_id and s.user_id = u.id
    where u.tenant_id = lock_user.tenant_id and u.id = lock_user.user_id and coalesce(u.banned_until, '-infinity') <= now()
      and s.id = lock_user.session_id and s.revoked_at is null);
end
$$;
