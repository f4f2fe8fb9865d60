-- Back-channel logouts on their way to applications: one for each session that ended and each application with a grant of it
-- and an address for logouts. A row is deleted once it was delivered or given up, or its tenant deleted. A row with empty
-- ids of session and application is about all sessions that a tenant ended: `user_id` is then the last grant that was read.
create table if not exists logout_messages (
  tenant_id text collate "C" not null,
  session_id text collate "C" not null,
  client_id text collate "C" not null,
  user_id text collate "C" not null,
  attempts smallint not null default 0,
  due_at timestamptz not null default now(),
  created_at timestamptz not null default now(),
  primary key (tenant_id, session_id, client_id)
);
create index if not exists logout_messages_due on logout_messages (due_at);

-- Queue the logouts of a session.
create or replace function queue_logouts(of_tenant text, of_session text) returns void
language sql
as $$
  insert into logout_messages (tenant_id, session_id, client_id, user_id)
  select distinct g.tenant_id, g.session_id, g.client_id, g.user_id
  from grants g join applications a on a.tenant_id = split_part(g.tenant_id, ':', 1) and a.id = g.client_id
  where g.tenant_id = of_tenant and g.session_id = of_session and a.backchannel_logout_uri is not null
  on conflict do nothing
$$;

-- The end of a browser's session ends its grants in the same statement, whatever ended it: a logout, a ban, the tenant.
create or replace function end_session_grants() returns trigger
language plpgsql
as $$
begin
  update grants g set revoked_at = now()
  where g.tenant_id = new.tenant_id and g.session_id = new.id and g.revoked_at is null and not g.is_offline;
  perform queue_logouts(new.tenant_id, new.id);
  return null;
end
$$;
-- Sessions of the API have no grants: for them the condition is all that runs.
create or replace trigger end_session_grants after update of revoked_at on sessions
for each row when (new.kind = 'browser' and old.revoked_at is null and new.revoked_at is not null)
execute function end_session_grants();
