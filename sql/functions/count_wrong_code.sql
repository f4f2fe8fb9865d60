-- Count a wrong code of another purpose than login for a locked identifier.
create function count_wrong_code(i identifiers, purpose text, challenge_id text, place int, attempts_remaining int) returns void
language plpgsql
as $$
begin
  update codes k set
    attempts = k.attempts + (count_wrong_code.challenge_id is null)::int,
    challenge_attempts = count_attempt(k.challenge_attempts, place)
  where k.tenant_id = i.tenant_id and k.identifier = i.identifier and k.purpose = count_wrong_code.purpose;
  update identifiers as u set
    (wrong_at, wrong_streak, unnamed_locked_until) = (select next.* from after_wrong_code(
      u.wrong_at, u.wrong_streak, u.unnamed_locked_until, count_wrong_code.challenge_id is not null) as next)
  where u.tenant_id = i.tenant_id and u.identifier = i.identifier;
  update challenges c set status = 'exhausted', closed_at = now()
  where attempts_remaining = 0 and c.tenant_id = i.tenant_id and c.id = count_wrong_code.challenge_id and c.status = 'open';
end
$$;
