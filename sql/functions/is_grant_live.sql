-- Return whether a grant gives access. It ends with its session, unless it is offline, with a ban of its user, with its
-- application, and when its tenant ends all sessions; not when its session expires.
create function is_grant_live(g grants) returns boolean
language plpgsql stable
as $$
begin
  return g.revoked_at is null and g.expires_at > now()
    and exists (
      select from users u where u.tenant_id = g.tenant_id and u.id = g.user_id and coalesce(u.banned_until, '-infinity') <= now())
    and exists (
      select from applications a
      where a.tenant_id = split_part(g.tenant_id, ':', 1) and a.id = g.client_id and a.disabled_at is null)
    and exists (
      select from tenants t left join sessions s on not g.is_offline and s.tenant_id = g.tenant_id and s.id = g.session_id
      where t.id = split_part(g.tenant_id, ':', 1) and g.created_at >= t.sessions_from
        and s.revoked_at is null and coalesce(s.created_at >= t.sessions_from, true));
end
$$;
