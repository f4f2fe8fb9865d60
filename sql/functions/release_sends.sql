-- End the wait for another code after messages that no provider accepted, or with an unknown outcome. A refunded send does
-- not count, and its challenge is cancelled. A code without a challenge was never sent, and is removed.
create function release_sends(recorded recorded_delivery[]) returns void
language plpgsql
as $$
declare
  d recorded_delivery;
  request record_delivery;
  cancelled text;
begin
  for d in
    select * from unnest(recorded) as u where (u.request).state <> 'sent' order by (u.request).tenant_id, u.identifier
  loop
    request := d.request;
    update identifiers i set
      sent_at = case when request.refunds_send then array_remove(i.sent_at, d.created_at) else i.sent_at end,
      sends = case when request.refunds_send then greatest(i.sends - 1, 0) else i.sends end,
      unanswered = case when request.refunds_send then greatest(i.unanswered - 1, 0) else i.unanswered end,
      resend_at = null
    where i.tenant_id = request.tenant_id and i.identifier = d.identifier and i.message_id = request.message_id;
    continue when not found or not request.refunds_send;
    update challenges c set status = 'cancelled', closed_at = now()
    where c.tenant_id = request.tenant_id and c.id = d.challenge_id and c.opened_at = d.created_at and c.status = 'open'
    returning c.id into cancelled;
    continue when not found;
    update identifiers i set
      code_mac = case when i.challenge_ids = array[cancelled] then null else i.code_mac end,
      code_box = case when i.challenge_ids = array[cancelled] then null else i.code_box end,
      challenge_attempts = remove_attempts(i.challenge_attempts, array_position(i.challenge_ids, cancelled)),
      challenge_ids = array_remove(i.challenge_ids, cancelled)
    where i.tenant_id = request.tenant_id and i.identifier = d.identifier and cancelled = any(i.challenge_ids);
    continue when found;
    delete from codes k
    where k.tenant_id = request.tenant_id and k.identifier = d.identifier and k.challenge_ids = array[cancelled];
    update codes k set
      challenge_attempts = remove_attempts(k.challenge_attempts, array_position(k.challenge_ids, cancelled)),
      challenge_ids = array_remove(k.challenge_ids, cancelled)
    where k.tenant_id = request.tenant_id and k.identifier = d.identifier and cancelled = any(k.challenge_ids);
  end loop;
end
$$;
