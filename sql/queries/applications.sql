-- Registered OAuth clients. Every change writes its event in the same statement.

-- name: lock_tenant_of_applications
-- Lock a tenant, to count its applications. No row without the tenant.
select slug from tenants where id = @tenant_id and deleted_at is null for no key update

-- name: count_applications
-- A statement of its own, after the lock: it sees what was committed during the wait.
select count(*) as applications from applications where tenant_id = @tenant_id

-- name: insert_application
-- The caller holds the lock of the tenant.
with created as (
  insert into applications (tenant_id, id, name, kind, secret_digests, secret_ends, scopes, id_token_alg)
  values (@tenant_id, @client_id, @name, @kind, array[@secret_digest::bytea], array[null::timestamptz], @scopes::text[], @alg)
  returning *
), new_event as (
  insert into events as e (tenant_id, id, type, actor, subject, request_id, network, data)
  select tenant_id, @event_id, 'application.created', @actor, id, @request_id, @network, jsonb_build_object('kind', kind) from created
  returning event_json(e) as event
)
select id as client_id, name, kind, scopes, id_token_alg, true as enabled, null::timestamptz as previous_secret_until, created_at,
  (select json_agg(event)::text from new_event) as events
from created

-- name: list_applications
-- Oldest first.
select id as client_id, name, kind, scopes, id_token_alg, disabled_at is null as enabled,
  case when secret_ends[2] > now() then secret_ends[2] end as previous_secret_until, created_at, null::text as events
from applications where tenant_id = @tenant_id and id > @after order by id limit @max_rows

-- name: find_application
-- One application, without its event.
select id as client_id, name, kind, scopes, id_token_alg, disabled_at is null as enabled,
  case when secret_ends[2] > now() then secret_ends[2] end as previous_secret_until, created_at, null::text as events
from applications where tenant_id = @tenant_id and id = @client_id

-- name: update_application
-- Null: unchanged. Repeating changes nothing, and writes no event.
with locked as (
  select * from applications where tenant_id = @tenant_id and id = @client_id for no key update
), differing as (
  select l.tenant_id, l.id, array_remove(array[
      case when @name <> l.name then 'name' end,
      case when @scopes::text[] <> l.scopes then 'scopes' end,
      case when @alg <> l.id_token_alg then 'id_token_alg' end,
      case when @enabled::boolean <> (l.disabled_at is null) then 'enabled' end], null) as changed
  from locked l
), updated as (
  update applications a
  set name = coalesce(@name, a.name), scopes = coalesce(@scopes::text[], a.scopes),
    id_token_alg = coalesce(@alg, a.id_token_alg),
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
select l.id as client_id, coalesce(u.name, l.name) as name, l.kind, coalesce(u.scopes, l.scopes) as scopes,
  coalesce(u.id_token_alg, l.id_token_alg) as id_token_alg,
  case when u.id is null then l.disabled_at is null else u.disabled_at is null end as enabled,
  case when l.secret_ends[2] > now() then l.secret_ends[2] end as previous_secret_until, l.created_at,
  (select json_agg(event)::text from new_event) as events
from locked l left join updated u on u.id = l.id

-- name: delete_application
-- Its access tokens end with it. No row if there is no such application.
with deleted as (
  delete from applications where tenant_id = @tenant_id and id = @client_id returning tenant_id, id
), new_event as (
  insert into events as e (tenant_id, id, type, actor, subject, request_id, network)
  select tenant_id, @event_id, 'application.deleted', @actor, id, @request_id, @network from deleted
  returning event_json(e) as event
)
select json_agg(event)::text as events from new_event having count(*) > 0

-- name: rotate_application_secret
-- The old secret is accepted for a while; an even older one ends. No row if there is no such application.
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
