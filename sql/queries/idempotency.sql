-- Idempotency-Keys. A claim is one use of a key; the request that holds it does the work.

-- name: claim_key
-- Claim a key that is unused or expired; return its state.
insert into idempotency as k (tenant_id, route, digest, body_digest, claim_id)
values (@tenant_id, @route, @digest, @body_digest, @claim_id)
on conflict (tenant_id, route, digest) do update set
  (body_digest, claim_id, claimed_at, answer_box) = (
  select
    case when ended then excluded.body_digest else k.body_digest end,
    case when ended then excluded.claim_id else k.claim_id end,
    case when ended then now() else k.claimed_at end,
    case when not ended then k.answer_box end
  from claim_has_ended(k.claimed_at, k.answer_box is not null, k.body_digest = excluded.body_digest) as ended)
returning claim_id = @claim_id as is_own, body_digest = @body_digest as same_body, answer_box as sealed_response

-- name: find_used_key
-- Return the state of a key that was used and has not expired, without claiming it.
select false as is_own, body_digest = @body_digest as same_body, answer_box as sealed_response from idempotency
where tenant_id = @tenant_id and route = @route and digest = @digest
  and not claim_has_ended(claimed_at, answer_box is not null, body_digest = @body_digest)

-- name: store_response
-- Store the response for repeats of the key.
update idempotency set answer_box = @sealed_response where tenant_id = @tenant_id and route = @route and digest = @digest and claim_id = @claim_id

-- name: release_key
-- Release a key, because nothing was done with it.
delete from idempotency where tenant_id = @tenant_id and route = @route and digest = @digest and claim_id = @claim_id
