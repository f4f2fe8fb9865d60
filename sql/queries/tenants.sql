-- Tenants and keys, as the operator manages them. Every change writes its event in the same statement.

-- name: create_tenant
-- Nothing when the slug is taken.
-- $1 tenant_id, $2 slug, $3 name, $4 settings, $5 event_id, $6 actor
-- $7 key ids, $8 digests, $9 kinds, $10 hints: the first keys
with made as (
  insert into tenants (id, slug, name, settings) values ($1, $2, $3, $4)
  on conflict (slug) where deleted_at is null do nothing
  returning *
), first_keys as (
  insert into keys (id, tenant_id, digest, kind, hint)
  select k.id, made.id, k.digest, k.kind, k.hint
  from made, unnest($7::text[], $8::bytea[], $9::text[], $10::text[]) as k(id, digest, kind, hint)
), told as (
  insert into events (tenant_id, id, type, actor, subject)
  select id, $5, 'tenant.created', $6, id from made
)
select id, name, slug, settings, created_at, suspended_at from made

-- name: list_tenants
-- $1 after this id (empty: from the first), $2 how many
select id, name, slug, settings, created_at, suspended_at
from tenants where id > $1 and deleted_at is null
order by id limit $2

-- name: get_tenant
-- $1 tenant_id, $2 slug: either
select id, name, slug, settings, created_at, suspended_at, jwt_version
from tenants where (id = $1 or slug = $2) and deleted_at is null

-- name: lock_tenant
-- To read settings, merge and write them under one lock. $1 tenant_id
select id, name, slug, settings, created_at, suspended_at
from tenants where id = $1 and deleted_at is null for no key update

-- name: update_tenant
-- $1 tenant_id, $2 name, $3 settings, $4 event_id, $5 actor, $6 names of what changed, $7 whether a budget did
with changed as (
  update tenants set name = $2, settings = $3 where id = $1 and deleted_at is null returning *
), uncounted as (
  -- The next message makes the row anew from what has been spent: marks that moved are told of again.
  delete from budgets b using changed c where $7 and b.tenant_id = c.id
), told as (
  insert into events (tenant_id, id, type, actor, subject, data)
  select id, $4, 'tenant.updated', $5, id, jsonb_build_object('changed', $6::text[]) from changed
)
select id, name, slug, settings, created_at, suspended_at from changed

-- name: suspend_tenant
-- Suspend ($2) or resume. Repeating changes nothing, and tells of nothing.
-- $1 tenant_id, $2 suspend, $3 event_id, $4 actor
with held as (
  select id, suspended_at from tenants where id = $1 and deleted_at is null for no key update
), changed as (
  update tenants t set suspended_at = case when $2 then now() end
  from held where t.id = held.id and (held.suspended_at is not null) <> $2::boolean
  returning t.id
), told as (
  insert into events (tenant_id, id, type, actor, subject)
  select id, $3, case when $2 then 'tenant.suspended' else 'tenant.resumed' end, $4, id from changed
)
select held.id, exists (select from changed) as changed from held

-- name: delete_tenant
-- Its keys end at once; the purge takes its rows. $1 tenant_id, $2 event_id, $3 actor
with gone as (
  update tenants set deleted_at = now() where id = $1 and deleted_at is null returning id
), ended as (
  delete from keys k using gone where k.tenant_id = gone.id
), told as (
  insert into events (tenant_id, id, type, actor, subject)
  select id, $2, 'tenant.deleted', $3, id from gone
)
select id from gone

-- name: get_jwt_versions
-- The current version, then those that have not retired yet. Whoever has their secrets can write tokens, so it is told.
-- $1 tenant_id, $2 event_id, $3 actor
with shown as (
  select id, jwt_version || array(
    select version from unnest(retired_versions, retired_at) as v(version, ends) where ends > now() order by version desc
  ) as versions
  from tenants where id = $1 and deleted_at is null
), told as (
  insert into events (tenant_id, id, type, actor, subject) select id, $2, 'tenant.jwt_secret_viewed', $3, id from shown
)
select versions from shown

-- name: rotate_jwt
-- The version that was current retires after the grace, and with it those before: none outlives what this rotation allows.
-- $1 tenant_id, $2 grace in seconds, $3 event_id, $4 actor
with changed as (
  update tenants t set jwt_version = t.jwt_version + 1, (retired_versions, retired_at) = (
    select coalesce(array_agg(version order by version), '{}'), coalesce(array_agg(ends order by version), '{}')
    from (
      select version, least(ends, now() + $2::int * interval '1 s') as ends
      from unnest(t.retired_versions || t.jwt_version, t.retired_at || 'infinity'::timestamptz) as v(version, ends)
    ) as retired
    where ends > now())
  where id = $1 and deleted_at is null
  returning id, jwt_version
), told as (
  insert into events (tenant_id, id, type, actor, subject, data)
  select id, $3, 'tenant.jwt_secret_rotated', $4, id, jsonb_build_object('version', jwt_version) from changed
)
select jwt_version from changed

-- name: create_key
-- $1 tenant_id, $2 key_id, $3 digest, $4 kind, $5 hint, $6 allowed_origins, $7 expires_at, $8 event_id, $9 actor
with made as (
  insert into keys (id, tenant_id, digest, kind, hint, allowed_origins, expires_at)
  select $2, id, $3, $4, $5, $6, $7 from tenants where id = $1 and deleted_at is null
  returning *
), told as (
  insert into events (tenant_id, id, type, actor, subject, data)
  select tenant_id, $8, 'key.created', $9, id, jsonb_build_object('kind', kind) from made
)
select id, kind, hint, allowed_origins, created_at, expires_at, revoked_at from made

-- name: list_keys
-- $1 tenant_id, $2 after this id, $3 how many
select k.id, k.kind, k.hint, k.allowed_origins, k.created_at, k.expires_at, k.revoked_at
from keys k where k.tenant_id = $1 and k.id > $2
order by k.id limit $3

-- name: find_key_by_id
-- $1 tenant_id, $2 key_id
select k.kind, t.slug from keys k join tenants t on t.id = k.tenant_id
where k.tenant_id = $1 and k.id = $2 and t.deleted_at is null

-- name: rotate_key
-- A new key takes over what the old one may do; the old one ends after the overlap, or earlier where it would anyway.
-- Nothing when the old key has ended.
-- $1 tenant_id, $2 old key_id, $3 new key_id, $4 digest, $5 hint, $6 overlap in seconds, $7 event_id, $8 actor
with old as (
  update keys set revoked_at = least(revoked_at, now() + $6::int * interval '1 s')
  where tenant_id = $1 and id = $2
    and (revoked_at is null or revoked_at > now()) and (expires_at is null or expires_at > now())
  returning *
), made as (
  insert into keys (id, tenant_id, digest, kind, hint, allowed_origins, expires_at)
  select $3, tenant_id, $4, kind, $5, allowed_origins, expires_at from old
  returning *
), told as (
  insert into events (tenant_id, id, type, actor, subject, data)
  select tenant_id, $7, 'key.rotated', $8, $2, jsonb_build_object('new_key_id', id) from made
)
select id, kind, hint, allowed_origins, created_at, expires_at, revoked_at from made

-- name: update_key
-- Change where a key may be used from, or until when; one that has ended stays as it is. Repeating changes nothing, and
-- tells of nothing.
-- $1 tenant_id, $2 key_id, $3 change the origins, $4 allowed_origins, $5 change the end, $6 expires_at, $7 event_id, $8 actor
with held as (
  select *, coalesce(least(revoked_at, expires_at) <= now(), false) as ended
  from keys where tenant_id = $1 and id = $2 for no key update
), wanted as (
  select id, case when $3 then $4::text[] else allowed_origins end as allowed_origins,
    case when $5 then $6::timestamptz else expires_at end as expires_at
  from held where not ended
), changed as (
  update keys k set allowed_origins = w.allowed_origins, expires_at = w.expires_at
  from wanted w
  where k.id = w.id and (k.allowed_origins, k.expires_at) is distinct from (w.allowed_origins, w.expires_at)
  returning k.id
), told as (
  insert into events (tenant_id, id, type, actor, subject, data)
  select $1, $7, 'key.updated', $8, h.id, jsonb_build_object('changed', array_remove(array[
    case when h.allowed_origins is distinct from w.allowed_origins then 'allowed_origins' end,
    case when h.expires_at is distinct from w.expires_at then 'expires_at' end], null))
  from changed join held h using (id) join wanted w using (id)
)
select h.id, h.kind, h.hint, coalesce(w.allowed_origins, h.allowed_origins) as allowed_origins, h.created_at,
  case when h.ended then h.expires_at else w.expires_at end as expires_at, h.revoked_at,
  h.ended, exists (select from changed) as changed
from held h left join wanted w using (id)

-- name: revoke_key
-- Repeating changes nothing. $1 tenant_id, $2 key_id, $3 event_id, $4 actor
with held as (
  select id, revoked_at from keys where tenant_id = $1 and id = $2 for no key update
), ended as (
  update keys k set revoked_at = now()
  from held where k.id = held.id and (held.revoked_at is null or held.revoked_at > now())
  returning k.tenant_id, k.id
), told as (
  insert into events (tenant_id, id, type, actor, subject)
  select tenant_id, $3, 'key.revoked', $4, id from ended
)
select held.id, exists (select from ended) as changed from held
