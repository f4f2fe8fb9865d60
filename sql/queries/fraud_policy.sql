-- The fraud policies of tenants and the operator's default. Every change writes its event in the same statement.

-- name: get_policy
-- The policy of a tenant, or the operator's default, and whether there is a captcha secret.
select s.policy is not null as is_own, coalesce(s.policy, d.policy) as policy
from (select 1) as one
left join fraud_settings s on s.tenant_id = @tenant_id
left join fraud_settings d on d.tenant_id = 'operator'

-- name: share_tenant
-- Keep a tenant from being deleted until the end of the transaction.
select 1 as found from tenants where id = @tenant_id and deleted_at is null for share

-- name: lock_settings
-- Create and lock the row of a tenant or of the operator.
insert into fraud_settings as s (tenant_id) values (@tenant_id)
on conflict (tenant_id) do update set tenant_id = excluded.tenant_id
returning s.policy, s.captcha_secret, s.list_entries

-- name: replace_policy
-- Replace or remove a policy. The caller holds the lock of the row.
with changed as (
  update fraud_settings set policy = @policy, captcha_secret = @captcha_secret
  where tenant_id = @tenant_id returning tenant_id
), new_event as (
  insert into events as e (tenant_id, id, type, actor, subject, request_id, network, data)
  select tenant_id, @event_id, 'fraud.policy_updated', @actor, tenant_id, @request_id, @network, jsonb_build_object('changed', @changed::text[]) from changed
  returning event_json(e) as event
)
select json_agg(event)::text as events from new_event
