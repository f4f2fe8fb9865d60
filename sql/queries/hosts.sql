-- Hosts of tenants. Every change writes its event in the same statement.

-- name: lock_tenant_of_hosts
-- Lock a tenant, to count its hosts and to change which one is canonical. No row without the tenant.
select slug from tenants where id = @tenant_id and deleted_at is null for no key update

-- name: count_hosts
-- A statement of its own, after the lock: it sees what was committed during the wait.
select count(*) as hosts from hosts where tenant_id = @tenant_id

-- name: insert_host
-- No row where the tenant has the host already. The caller holds the lock of the tenant.
with created as (
  insert into hosts (tenant_id, id, host, token) values (@tenant_id, @host_id, @host, @token)
  on conflict (tenant_id, host) do nothing
  returning *
), new_event as (
  insert into events as e (tenant_id, id, type, actor, subject, request_id, network, data)
  select tenant_id, @event_id, 'host.added', @actor, id, @request_id, @network, jsonb_build_object('host', host) from created
  returning event_json(e) as event
)
select id as host_id, host, token, canonical, created_at, verified_at, (select json_agg(event)::text from new_event) as events
from created

-- name: list_hosts
-- List a tenant's hosts, oldest first.
select id as host_id, host, token, canonical, created_at, verified_at, null::text as events
from hosts where tenant_id = @tenant_id order by id

-- name: find_host
-- Find a host, without its event.
select id as host_id, host, token, canonical, created_at, verified_at, null::text as events
from hosts where tenant_id = @tenant_id and id = @host_id

-- name: lock_host
-- Lock the rows of a host, of all tenants, in one order: verifications of a host run one after another.
select tenant_id from hosts where host = @host order by tenant_id, id for no key update

-- name: find_verified_tenant
-- The tenant that has verified a host. A statement of its own, after the lock.
select tenant_id from hosts where host = @host and verified_at is not null

-- name: verify_host
-- The caller holds the lock of the host. Repeating changes nothing, and writes no event. No row without the host.
with verified as (
  update hosts set verified_at = now() where tenant_id = @tenant_id and id = @host_id and verified_at is null
  returning *
), new_event as (
  insert into events as e (tenant_id, id, type, actor, subject, request_id, network, data)
  select tenant_id, @event_id, 'host.verified', @actor, id, @request_id, @network, jsonb_build_object('host', host) from verified
  returning event_json(e) as event
)
select id as host_id, host, token, canonical, created_at, verified_at, (select json_agg(event)::text from new_event) as events
from (
  select * from verified
  union all
  select * from hosts where tenant_id = @tenant_id and id = @host_id and verified_at is not null
) h

-- name: clear_canonical_host
-- The caller holds the lock of the tenant, and sets another canonical host next.
update hosts set canonical = false where tenant_id = @tenant_id and id <> @host_id and canonical

-- name: set_canonical_host
-- The caller holds the lock of the tenant. Repeating changes nothing, and writes no event.
with updated as (
  update hosts set canonical = @canonical where tenant_id = @tenant_id and id = @host_id and canonical <> @canonical
  returning *
), new_event as (
  insert into events as e (tenant_id, id, type, actor, subject, request_id, network, data)
  select tenant_id, @event_id, 'host.updated', @actor, id, @request_id, @network,
    jsonb_build_object('host', host, 'canonical', canonical)
  from updated
  returning event_json(e) as event
)
select (select json_agg(event)::text from new_event) as events from updated

-- name: delete_host
-- Remove a host. No row without it.
with deleted as (
  delete from hosts where tenant_id = @tenant_id and id = @host_id returning *
), new_event as (
  insert into events as e (tenant_id, id, type, actor, subject, request_id, network, data)
  select tenant_id, @event_id, 'host.removed', @actor, id, @request_id, @network, jsonb_build_object('host', host) from deleted
  returning event_json(e) as event
)
select (select json_agg(event)::text from new_event) as events from deleted
