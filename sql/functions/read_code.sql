-- Return the code of a purpose of a locked identifier; a row of nulls if there is none. A login code is in the identifier's
-- row.
create function read_code(i identifiers, purpose text) returns live_code
language plpgsql
as $$
declare
  code live_code;
begin
  if purpose = 'login' then
    if i.code_purpose = 'login' then
      code := row(i.code_mac, i.code_box, i.code_expires_at, i.code_attempts, i.code_attempts_max,
        i.challenge_ids, i.challenge_attempts);
    end if;
  else
    select c.mac, c.box, c.expires_at, c.attempts, c.attempts_max, c.challenge_ids, c.challenge_attempts into code
    from codes c where c.tenant_id = i.tenant_id and c.identifier = i.identifier and c.purpose = read_code.purpose;
  end if;
  return code;
end
$$;
