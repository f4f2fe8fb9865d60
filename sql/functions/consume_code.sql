-- Consume a right code of another purpose than login for a locked identifier, and close its challenges.
create function consume_code(i identifiers, purpose text, code live_code, challenge_id text) returns void
language plpgsql
as $$
begin
  delete from codes k
  where k.tenant_id = i.tenant_id and k.identifier = i.identifier and k.purpose = consume_code.purpose;
  update identifiers as u set
    (resend_at, sends, wrong_streak, answered, unanswered) = (
      select next.* from after_right_code(u.answered, u.unanswered, u.sends) as next)
  where u.tenant_id = i.tenant_id and u.identifier = i.identifier;
  update challenges c set
    status = case when c.id = consume_code.challenge_id then 'answered' else 'cancelled' end, closed_at = now()
  where c.tenant_id = i.tenant_id and c.id = any(code.challenge_ids) and c.status = 'open';
end
$$;
