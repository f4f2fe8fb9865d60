-- Who is calling.

-- name: find_key
-- The tenant that a key belongs to. $1 digest
select t.id as tenant_id, t.name, t.settings, t.jwt_version, t.suspended_at is not null as suspended,
  t.retired_versions, extract(epoch from t.sessions_from)::float8 as sessions_from,
  (select coalesce(array_agg(extract(epoch from r)::float8 order by n), '{}')
   from unnest(t.retired_at) with ordinality as u(r, n)) as retired_at,
  k.id as key_id, k.kind, k.allowed_origins,
  -- A rotated key's revocation lies ahead: whoever caches this must know of it.
  extract(epoch from least(k.expires_at, k.revoked_at))::float8 as key_expires_at
from keys k join tenants t on t.id = k.tenant_id
where k.digest = $1
  and (k.revoked_at is null or k.revoked_at > now())
  and (k.expires_at is null or k.expires_at > now())
  and t.deleted_at is null

-- name: tenant_exists
-- $1 tenant_id
select 1 from tenants where id = $1 and deleted_at is null

-- name: claim_idempotency
-- Take an Idempotency-Key, or learn who has it. $1 tenant_id, $2 route, $3 digest, $4 digest of the body, $5 claim_id
insert into idempotency as k (tenant_id, route, digest, body_digest, claim_id) values ($1, $2, $3, $4, $5)
on conflict (tenant_id, route, digest) do update set
  (body_digest, claim_id, claimed_at, answer_box) = (
  select
    case when ended then excluded.body_digest else k.body_digest end,
    case when ended then excluded.claim_id else k.claim_id end,
    case when ended then now() else k.claimed_at end,
    case when not ended then k.answer_box end
  from claim_has_ended(k.claimed_at, k.answer_box is not null, k.body_digest = excluded.body_digest) as ended)
returning claim_id = $5 as mine, body_digest = $4 as same_body, answer_box

-- name: keep_answer
-- For whoever comes with the same key again. $1 tenant_id, $2 route, $3 digest, $4 claim_id, $5 the answer, sealed
update idempotency set answer_box = $5 where tenant_id = $1 and route = $2 and digest = $3 and claim_id = $4

-- name: free_idempotency
-- Nothing was done: the key is as if never used. $1 tenant_id, $2 route, $3 digest, $4 claim_id
delete from idempotency where tenant_id = $1 and route = $2 and digest = $3 and claim_id = $4
