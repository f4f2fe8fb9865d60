-- Store the code of another purpose than login, under the lock of its identifier. Expired codes of the identifier are
-- deleted.
create function save_code(request open_challenge, code live_code) returns void
language plpgsql
as $$
begin
  delete from codes c
  where c.tenant_id = request.tenant_id and c.identifier = request.identifier and c.purpose <> request.purpose
    and c.expires_at < now();
  insert into codes (tenant_id, identifier, purpose, mac, box, expires_at, attempts, attempts_max, challenge_ids, challenge_attempts)
  values (request.tenant_id, request.identifier, request.purpose, code.mac, code.box, code.expires_at, code.attempts,
    code.attempts_max, code.challenge_ids, code.challenge_attempts)
  on conflict (tenant_id, identifier, purpose) do update set
    mac = excluded.mac, box = excluded.box, expires_at = excluded.expires_at, attempts = excluded.attempts,
    attempts_max = excluded.attempts_max, challenge_ids = excluded.challenge_ids,
    challenge_attempts = excluded.challenge_attempts;
end
$$;
