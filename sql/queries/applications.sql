-- Registered OAuth clients. Every change writes its event in the same statement.

-- name: lock_tenant_of_applications
-- Lock a tenant, to count its applications. No row without the tenant.
select slug from tenants where id = @tenant_id and deleted_at is null for no key update

-- name: count_applications
-- A statement of its own, after the lock: it sees what was committed during the wait.
select count(*) as applications from applications where tenant_id = @tenant_id

-- name: insert_application
-- Insert an application. The caller holds the lock of the tenant.
with created as (
  insert into applications (tenant_id, id, name, kind, secret_digests, secret_ends, scopes, id_token_alg, redirect_uris, logout_uris,
    backchannel_logout_uri, first_party, require_pkce)
  values (@tenant_id, @client_id, @name, @kind, @secret_digests::bytea[],
    array_fill(null::timestamptz, array[cardinality(@secret_digests::bytea[])]), @scopes::text[], @alg, @redirect_uris::text[],
    @logout_uris::text[], @backchannel_logout_uri, @first_party, @require_pkce)
  returning *
), new_event as (
  insert into events as e (tenant_id, id, type, actor, subject, request_id, network, data)
  select tenant_id, @event_id, 'application.created', @actor, id, @request_id, @network, jsonb_build_object('kind', kind) from created
  returning event_json(e) as event
)
select json_agg(event)::text as events from new_event

-- name: list_applications
-- List a tenant's applications, oldest first.
select id as client_id, name, kind, scopes, id_token_alg, redirect_uris, logout_uris, backchannel_logout_uri, first_party,
  require_pkce, disabled_at is null as enabled,
  case when secret_ends[2] > now() then secret_ends[2] end as previous_secret_until, created_at
from applications where tenant_id = @tenant_id and id > @after order by id limit @max_rows

-- name: find_application
-- Find an application.
select id as client_id, name, kind, scopes, id_token_alg, redirect_uris, logout_uris, backchannel_logout_uri, first_party,
  require_pkce, disabled_at is null as enabled,
  case when secret_ends[2] > now() then secret_ends[2] end as previous_secret_until, created_at
from applications where tenant_id = @tenant_id and id = @client_id

-- name: update_application
-- Change an application; null leaves a field unchanged, an empty backchannel_logout_uri removes it. Repeating changes
-- nothing, and writes no event.
with locked as (
  select * from applications where tenant_id = @tenant_id and id = @client_id for no key update
), differing as (
  select l.tenant_id, l.id, array_remove(array[
      case when @name <> l.name then 'name' end,
      case when @scopes::text[] <> l.scopes then 'scopes' end,
      case when @alg <> l.id_token_alg then 'id_token_alg' end,
      case when @redirect_uris::text[] <> l.redirect_uris then 'redirect_uris' end,
      case when @logout_uris::text[] <> l.logout_uris then 'logout_uris' end,
      case when @backchannel_logout_uri <> coalesce(l.backchannel_logout_uri, '') then 'backchannel_logout_uri' end,
      case when @first_party::boolean <> l.first_party then 'first_party' end,
      case when @require_pkce::boolean <> l.require_pkce then 'require_pkce' end,
      case when @enabled::boolean <> (l.disabled_at is null) then 'enabled' end], null) as changed
  from locked l
), updated as (
  update applications a
  set name = coalesce(@name, a.name), scopes = coalesce(@scopes::text[], a.scopes),
    id_token_alg = coalesce(@alg, a.id_token_alg), redirect_uris = coalesce(@redirect_uris::text[], a.redirect_uris),
    logout_uris = coalesce(@logout_uris::text[], a.logout_uris),
    backchannel_logout_uri = nullif(coalesce(@backchannel_logout_uri, a.backchannel_logout_uri), ''),
    first_party = coalesce(@first_party::boolean, a.first_party), require_pkce = coalesce(@require_pkce::boolean, a.require_pkce),
    disabled_at = case @enabled::boolean when true then null when false then coalesce(a.disabled_at, now()) else a.disabled_at end
  from differing d
  where a.tenant_id = d.tenant_id and a.id = d.id and d.changed <> '{}'
  returning a.*, d.changed
), new_event as (
  insert into events as e (tenant_id, id, type, actor, subject, request_id, network, data)
  select tenant_id, @event_id, 'application.updated', @actor, id, @request_id, @network, jsonb_build_object('changed', changed)
  from updated
  returning event_json(e) as event
)
select json_agg(event)::text as events from new_event

-- name: delete_application
-- Delete an application. Its access tokens end with it. No row if there is no such application.
with deleted as (
  delete from applications where tenant_id = @tenant_id and id = @client_id returning tenant_id, id
), new_event as (
  insert into events as e (tenant_id, id, type, actor, subject, request_id, network)
  select tenant_id, @event_id, 'application.deleted', @actor, id, @request_id, @network from deleted
  returning event_json(e) as event
)
select json_agg(event)::text as events from new_event having count(*) > 0

-- name: rotate_application_secret
-- Rotate a secret. The old one is accepted for a while; an even older one ends. No row if there is no such application.
with rotated as (
  update applications
  set secret_digests = array[@secret_digest::bytea] || case when @grace_in::int > 0 then secret_digests[1:1] else '{}' end,
    secret_ends = array[null::timestamptz]
      || case when @grace_in::int > 0 then array[now() + @grace_in::int * interval '1 s'] else '{}' end
  where tenant_id = @tenant_id and id = @client_id
  returning *
), new_event as (
  insert into events as e (tenant_id, id, type, actor, subject, request_id, network, data)
  select tenant_id, @event_id, 'application.updated', @actor, id, @request_id, @network, '{"changed": ["secret"]}' from rotated
  returning event_json(e) as event
)
select secret_ends[2] as previous_secret_until, (select json_agg(event)::text from new_event) as events from rotated
