-- Create the users of logins without one, before the identifiers that reference them.
create function create_users(logins login[]) returns void
language plpgsql
as $$
begin
  insert into users (tenant_id, id, last_login_at)
  select l.tenant_id, l.user_id, now() from unnest(logins) as l where l.is_new_user;
end
$$;
