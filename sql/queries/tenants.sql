-- Tenants and keys, as the operator manages them. Every change writes its event in the same statement.

-- name: create_tenant
-- Create a tenant. No row if the slug is taken.
with created as (
  insert into tenants (id, slug, name, settings) values (@tenant_id, @slug, @name, @settings)
  on conflict (slug) where deleted_at is null do nothing
  returning *
), first_keys as (
  insert into keys (id, tenant_id, digest, kind, hint)
  select k.id, created.id, k.digest, k.kind, k.hint
  from created, unnest(@key_ids::text[], @digests::bytea[], @kinds::text[], @hints::text[]) as k(id, digest, kind, hint)
), new_event as (
  insert into events as e (tenant_id, id, type, actor, subject, request_id, network)
  select id, @event_id, 'tenant.created', @actor, id, @request_id, @network from created
  returning event_json(e) as event
)
select id, name, slug, settings, created_at, suspended_at,
  (select json_agg(event)::text from new_event) as events
from created

-- name: list_tenants
-- List the tenants after an id, in the order of their ids.
select id, name, slug, settings, created_at, suspended_at
from tenants where id > @after and deleted_at is null
order by id limit @max_rows

-- name: get_tenant
-- Return a tenant by its id or its slug.
select id, name, slug, settings, created_at, suspended_at, jwt_version
from tenants where (id = @tenant_id or slug = @slug) and deleted_at is null

-- name: lock_tenant
-- Lock a tenant, to merge its settings.
select id, name, slug, settings, created_at, suspended_at
from tenants where id = @tenant_id and deleted_at is null for no key update

-- name: update_tenant
-- Change the name and the settings of a tenant.
with changed as (
  update tenants set name = @name, settings = @settings where id = @tenant_id and deleted_at is null returning *
), uncounted as (
  -- The next message creates the row again from the spending, so changed marks are reported again.
  delete from budgets b using changed c where @resets_budget and b.tenant_id = c.id
), new_event as (
  insert into events as e (tenant_id, id, type, actor, subject, request_id, network, data)
  select id, @event_id, 'tenant.updated', @actor, id, @request_id, @network, jsonb_build_object('changed', @changed::text[]) from changed
  returning event_json(e) as event
)
select id, name, slug, settings, created_at, suspended_at,
  (select json_agg(event)::text from new_event) as events
from changed

-- name: suspend_tenant
-- Suspend or resume a tenant. Repeating changes nothing, and writes no event.
with locked as (
  select id, suspended_at from tenants where id = @tenant_id and deleted_at is null for no key update
), changed as (
  update tenants t set suspended_at = case when @suspend then now() end
  from locked where t.id = locked.id and (locked.suspended_at is not null) <> @suspend::boolean
  returning t.id
), new_event as (
  insert into events as e (tenant_id, id, type, actor, subject, request_id, network)
  select id, @event_id, case when @suspend then 'tenant.suspended' else 'tenant.resumed' end, @actor, id, @request_id, @network from changed
  returning event_json(e) as event
)
select (select json_agg(event)::text from new_event) as events from locked

-- name: delete_tenant
-- Delete a tenant. Its keys end at once; the purge deletes its rows.
with deleted as (
  update tenants set deleted_at = now() where id = @tenant_id and deleted_at is null returning id
), ended as (
  delete from keys k using deleted where k.tenant_id = deleted.id
), new_event as (
  insert into events as e (tenant_id, id, type, actor, subject, request_id, network)
  select id, @event_id, 'tenant.deleted', @actor, id, @request_id, @network from deleted
  returning event_json(e) as event
)
select (select json_agg(event)::text from new_event) as events from deleted

-- name: get_jwt_versions
-- The current key version, then those that still verify. Their secrets can sign tokens, so reading them writes an event.
with shown as (
  select id, jwt_version || array(
    select version from unnest(retired_versions, retired_at) as v(version, ends) where ends > now() order by version desc
  ) as versions
  from tenants where id = @tenant_id and deleted_at is null
), new_event as (
  insert into events as e (tenant_id, id, type, actor, subject, request_id, network)
  select id, @event_id, 'tenant.jwt_secret_viewed', @actor, id, @request_id, @network from shown
  returning event_json(e) as event
)
select versions, (select json_agg(event)::text from new_event) as events from shown

-- name: rotate_jwt
-- Rotate the key version. The current one and all earlier ones verify at most until the end of the grace period.
with changed as (
  update tenants t set jwt_version = t.jwt_version + 1, (retired_versions, retired_at) = (
    select coalesce(array_agg(version order by version), '{}'), coalesce(array_agg(ends order by version), '{}')
    from (
      select version, least(ends, now() + @grace_in::int * interval '1 s') as ends
      from unnest(t.retired_versions || t.jwt_version, t.retired_at || 'infinity'::timestamptz) as v(version, ends)
    ) as retired
    where ends > now())
  where id = @tenant_id and deleted_at is null
  returning id, jwt_version
), new_event as (
  insert into events as e (tenant_id, id, type, actor, subject, request_id, network, data)
  select id, @event_id, 'tenant.jwt_secret_rotated', @actor, id, @request_id, @network, jsonb_build_object('version', jwt_version) from changed
  returning event_json(e) as event
)
select jwt_version, (select json_agg(event)::text from new_event) as events from changed

-- name: create_key
-- Create a key of a tenant, and its event.
with created as (
  insert into keys (id, tenant_id, digest, kind, hint, allowed_origins, expires_at)
  select @key_id, id, @digest, @kind, @hint, @allowed_origins, @expires_at from tenants where id = @tenant_id and deleted_at is null
  returning *
), new_event as (
  insert into events as e (tenant_id, id, type, actor, subject, request_id, network, data)
  select tenant_id, @event_id, 'key.created', @actor, id, @request_id, @network, jsonb_build_object('kind', kind) from created
  returning event_json(e) as event
)
select id, kind, hint, allowed_origins, created_at, expires_at, revoked_at,
  (select json_agg(event)::text from new_event) as events
from created

-- name: list_keys
-- List the keys of a tenant after an id, revoked and expired ones included.
select k.id, k.kind, k.hint, k.allowed_origins, k.created_at, k.expires_at, k.revoked_at
from keys k where k.tenant_id = @tenant_id and k.id > @after
order by k.id limit @max_rows

-- name: find_key_by_id
-- Return the kind of a key, and the slug of its tenant.
select k.kind, t.slug from keys k join tenants t on t.id = k.tenant_id
where k.tenant_id = @tenant_id and k.id = @key_id and t.deleted_at is null

-- name: rotate_key
-- Create a new key with the permissions of the old one. The old key ends after the overlap, or at its own earlier end. No
-- row if the old key has ended.
with old as (
  update keys set revoked_at = least(revoked_at, now() + @grace_in::int * interval '1 s')
  where tenant_id = @tenant_id and id = @key_id
    and (revoked_at is null or revoked_at > now()) and (expires_at is null or expires_at > now())
  returning *
), created as (
  insert into keys (id, tenant_id, digest, kind, hint, allowed_origins, expires_at)
  select @new_key_id, tenant_id, @digest, kind, @hint, allowed_origins, expires_at from old
  returning *
), new_event as (
  insert into events as e (tenant_id, id, type, actor, subject, request_id, network, data)
  select tenant_id, @event_id, 'key.rotated', @actor, @key_id, @request_id, @network, jsonb_build_object('new_key_id', id) from created
  returning event_json(e) as event
)
select id, kind, hint, allowed_origins, created_at, expires_at, revoked_at,
  (select json_agg(event)::text from new_event) as events
from created

-- name: update_key
-- Change the allowed origins or the end of a key, unless it has ended. Repeating changes nothing, and writes no event.
with locked as (
  select *, coalesce(least(revoked_at, expires_at) <= now(), false) as ended
  from keys where tenant_id = @tenant_id and id = @key_id for no key update
), wanted as (
  select tenant_id, id, case when @changes_origins then @allowed_origins::text[] else allowed_origins end as allowed_origins,
    case when @changes_end then @expires_at::timestamptz else expires_at end as expires_at
  from locked where not ended
), changed as (
  update keys k set allowed_origins = w.allowed_origins, expires_at = w.expires_at
  from wanted w
  where k.tenant_id = w.tenant_id and k.id = w.id and (k.allowed_origins, k.expires_at) is distinct from (w.allowed_origins, w.expires_at)
  returning k.id
), new_event as (
  insert into events as e (tenant_id, id, type, actor, subject, request_id, network, data)
  select @tenant_id, @event_id, 'key.updated', @actor, l.id, @request_id, @network, jsonb_build_object('changed', array_remove(array[
    case when l.allowed_origins is distinct from w.allowed_origins then 'allowed_origins' end,
    case when l.expires_at is distinct from w.expires_at then 'expires_at' end], null))
  from changed join locked l using (id) join wanted w using (id)
  returning event_json(e) as event
)
select l.id, l.kind, l.hint, coalesce(w.allowed_origins, l.allowed_origins) as allowed_origins, l.created_at,
  case when l.ended then l.expires_at else w.expires_at end as expires_at, l.revoked_at,
  l.ended, (select json_agg(event)::text from new_event) as events
from locked l left join wanted w using (id)

-- name: revoke_key
-- Revoke a key. Repeating changes nothing.
with locked as (
  select tenant_id, id, revoked_at from keys where tenant_id = @tenant_id and id = @key_id for no key update
), ended as (
  update keys k set revoked_at = now()
  from locked where k.tenant_id = locked.tenant_id and k.id = locked.id and (locked.revoked_at is null or locked.revoked_at > now())
  returning k.tenant_id, k.id
), new_event as (
  insert into events as e (tenant_id, id, type, actor, subject, request_id, network)
  select tenant_id, @event_id, 'key.revoked', @actor, id, @request_id, @network from ended
  returning event_json(e) as event
)
select (select json_agg(event)::text from new_event) as events from locked

-- name: save_logo
-- Replace the logo of a tenant. The caller holds the lock of its row.
insert into logos (tenant_id, digest, image) values (@tenant_id, @digest, @image)
on conflict (tenant_id) do update set digest = excluded.digest, image = excluded.image
returning digest

-- name: delete_logo
-- Delete the logo of a tenant. The caller holds the lock of its row.
delete from logos where tenant_id = @tenant_id returning digest

-- name: find_logo
-- Find a logo by its digest. Tenants with the same image have the same digest.
select l.image from logos l join tenants t on t.id = l.tenant_id and t.deleted_at is null
where l.digest = @digest limit 1
