-- Blocking hooks of tenants. Every change writes its event in the same statement. Requests read hooks with their tenant
-- (`find_tenant`).

-- name: get_hook
-- A hook of a tenant with its secrets; the previous one while it still signs.
select url, on_error, timeout_ms, secret, previous_secret, created_at,
  case when previous_secret_until > now() then previous_secret_until end as previous_secret_until
from hooks where tenant_id = @tenant_id and name = @name

-- name: lock_tenant_of_hooks
-- Lock a tenant: changes of its hooks run one after another, and none follows its deletion.
select 1 as found from tenants where id = @tenant_id and deleted_at is null for no key update

-- name: save_hook
-- The caller holds the lock of the tenant. A previous secret signs too for `grace_s` seconds.
with saved as (
  insert into hooks as h (tenant_id, name, url, on_error, timeout_ms, secret, revision)
  values (@tenant_id, @name, @url, @on_error, @timeout_ms, @secret, @event_id)
  on conflict (tenant_id, name) do update set
    url = excluded.url, on_error = excluded.on_error, timeout_ms = excluded.timeout_ms, revision = excluded.revision,
    secret = excluded.secret,
    previous_secret = case when h.secret = excluded.secret then h.previous_secret when @grace_s::int > 0 then h.secret end,
    previous_secret_until = case
      when h.secret = excluded.secret then h.previous_secret_until
      when @grace_s > 0 then now() + @grace_s * interval '1 s' end
  returning tenant_id, name
), new_event as (
  insert into events as e (tenant_id, id, type, actor, subject, request_id, network, data)
  select tenant_id, @event_id, 'hook.updated', @actor, name, @request_id, @network,
    jsonb_build_object('changed', @changed::text[], 'is_set', true) from saved
  returning event_json(e) as event
)
select json_agg(event)::text as events from new_event

-- name: delete_hook
-- Delete a hook. Returns no events if there was no such hook.
with deleted as (
  delete from hooks where tenant_id = @tenant_id and name = @name returning tenant_id, name
), new_event as (
  insert into events as e (tenant_id, id, type, actor, subject, request_id, network, data)
  select tenant_id, @event_id, 'hook.updated', @actor, name, @request_id, @network,
    jsonb_build_object('changed', array[]::text[], 'is_set', false) from deleted
  returning event_json(e) as event
)
select json_agg(event)::text as events from new_event
