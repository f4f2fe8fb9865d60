-- Return whether a user has not allowed all of some scopes to an application. An application of the tenant itself needs no
-- consent.
create type wanted_consent as (
  tenant_id text,                 -- of the tenant or its sandbox
  user_id text,
  client_id text,
  scopes text[]
);

create function needs_consent(request wanted_consent) returns boolean
language plpgsql stable
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
as $$
begin
  if exists (
    select from applications a
    where a.tenant_id = split_part(request.tenant_id, ':', 1) and a.id = request.client_id and a.disabled_at is null
      and a.first_party
  ) then
    return false;
  end if;
  return not exists (
    select from consents c
    where c.tenant_id = request.tenant_id and c.user_id = request.user_id and c.client_id = request.client_id
      and c.revoked_at is null and c.scopes @> request.scopes);
end
$$;
