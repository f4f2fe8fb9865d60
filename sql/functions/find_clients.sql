-- Find enabled applications, with the digests of the secrets that they may use now. Returns a row for each request. Without
-- an application its columns are null, except those of the request, and `secrets` is empty.
create type find_client as (
  tenant_id text,                 -- that owns the application, never its sandbox
  client_id text
);
create type found_client as (
  tenant_id text,
  client_id text,
  name text,
  kind text,
  scopes text[],
  id_token_alg text,
  secrets bytea[],
  redirect_uris text[],
  logout_uris text[],
  first_party boolean,
  require_pkce boolean
);

create function find_clients(requests find_client[]) returns setof found_client
language plpgsql stable
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
begin
  return query
  select r.tenant_id, r.client_id, a.name, a.kind, a.scopes, a.id_token_alg,
    array(select s.digest from unnest(a.secret_digests, a.secret_ends) as s(digest, ends) where s.ends is null or s.ends > now()),
    a.redirect_uris, a.logout_uris, a.first_party, a.require_pkce
  from unnest(requests) as r
  left join lateral (
    select * from applications where tenant_id = r.tenant_id and id = r.client_id and disabled_at is null limit 1
  ) as a on true;
end
$$;
