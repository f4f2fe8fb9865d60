-- Keys that sign the OAuth tokens of a tenant. Of rotations that run at once, one succeeds.

-- name: list_signing_keys
-- List all keys of a tenant or sandbox, newest first.
select kid, alg, public, box, state from signing_keys where tenant_id = @tenant_id order by created_at desc, kid

-- name: insert_signing_key
-- Nothing happens if there is a key in this state already, or if the tenant is deleted.
insert into signing_keys (tenant_id, kid, alg, public, box, state, activated_at)
select @tenant_id, @kid, @alg, @public, @box, @state, case when @state = 'active' then now() end
from tenants where id = split_part(@tenant_id, ':', 1) and deleted_at is null
on conflict (tenant_id, alg, state) where state <> 'retiring' do nothing

-- name: retire_signing_key
-- Let a key sign no longer. No row if it did not sign.
update signing_keys set state = 'retiring', retires_at = now() + @published_s::int * interval '1 s'
where tenant_id = @tenant_id and kid = @kid and state = 'active'
returning kid

-- name: activate_signing_key
-- Let the next key sign from now on.
update signing_keys set state = 'active', activated_at = now()
where tenant_id = @tenant_id and alg = @alg and state = 'next'
returning kid

-- name: list_ageing_signing_keys
-- List the keys that have signed long enough to need a successor, and have none.
select a.tenant_id, a.alg from signing_keys a
left join signing_keys n on n.tenant_id = a.tenant_id and n.alg = a.alg and n.state = 'next'
where a.state = 'active' and a.activated_at < now() - @age_s::int * interval '1 s' and n.kid is null
order by a.activated_at limit @max_rows

-- name: list_old_signing_keys
-- Keys that have signed long enough, and whose successor has been published long enough.
select a.tenant_id, a.alg, a.kid from signing_keys a
join signing_keys n on n.tenant_id = a.tenant_id and n.alg = a.alg and n.state = 'next'
where a.state = 'active' and a.activated_at < now() - @age_s::int * interval '1 s'
  and n.created_at < now() - @published_s::int * interval '1 s'
order by a.activated_at limit @max_rows

-- name: delete_retired_signing_keys
-- Delete the keys that are no longer published.
delete from signing_keys where state = 'retiring' and retires_at < now()
