-- Claim the Idempotency-Key of a request. Returns null if this request has it, else the reason: reused (with another body),
-- replayed (`response` is the stored response), in_flight.
create function claim_idempotency_key(request open_challenge, out rejection text, out response bytea)
language plpgsql
as $$
declare
  claim record;
begin
  insert into idempotency as k (tenant_id, route, digest, body_digest, claim_id)
  values (request.tenant_id, request.route, request.key_digest, request.body_digest, request.message_id)
  on conflict (tenant_id, route, digest) do update set
    (body_digest, claim_id, claimed_at, answer_box) = (
    select
      case when ended then excluded.body_digest else k.body_digest end,
      case when ended then excluded.claim_id else k.claim_id end,
      case when ended then now() else k.claimed_at end,
      case when not ended then k.answer_box end
    from claim_has_ended(k.claimed_at, k.answer_box is not null, k.body_digest = excluded.body_digest) as ended)
  returning k.claim_id = request.message_id as is_ours, k.body_digest = request.body_digest as is_same_body, k.answer_box
  into claim;
  if not claim.is_ours then
    rejection := case
      when not claim.is_same_body then 'reused' when claim.answer_box is not null then 'replayed' else 'in_flight' end;
    response := claim.answer_box;
  end if;
end
$$;
