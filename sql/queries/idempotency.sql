-- Idempotency-Keys. A claim is one use of a key; the request that holds it does the work.

-- name: claim_key
-- Claim a key that is unused or expired; return its state. $1 tenant_id, $2 route, $3 digest, $4 digest of the body, $5 claim_id
insert into idempotency as k (tenant_id, route, digest, body_digest, claim_id) values ($1, $2, $3, $4, $5)
on conflict (tenant_id, route, digest) do update set
  (body_digest, claim_id, claimed_at, answer_box) = (
  select
    case when ended then excluded.body_digest else k.body_digest end,
    case when ended then excluded.claim_id else k.claim_id end,
    case when ended then now() else k.claimed_at end,
    case when not ended then k.answer_box end
  from claim_has_ended(k.claimed_at, k.answer_box is not null, k.body_digest = excluded.body_digest) as ended)
returning claim_id = $5 as is_own, body_digest = $4 as same_body, answer_box

-- name: store_response
-- Store the response for repeats of the key. $1 tenant_id, $2 route, $3 digest, $4 claim_id, $5 the encrypted response
update idempotency set answer_box = $5 where tenant_id = $1 and route = $2 and digest = $3 and claim_id = $4

-- name: release_key
-- Nothing was done: the key can be used again. $1 tenant_id, $2 route, $3 digest, $4 claim_id
delete from idempotency where tenant_id = $1 and route = $2 and digest = $3 and claim_id = $4
