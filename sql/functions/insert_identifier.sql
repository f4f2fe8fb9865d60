-- Insert an identifier with the code of its first message. Returns a row of nulls if another transaction inserted it first:
-- then lock it.
create function insert_identifier(request open_challenge, code live_code) returns identifiers
language plpgsql
as $$
declare
  i identifiers;
  login live_code := case when request.purpose = 'login' then code end;
begin
  insert into identifiers (tenant_id, identifier, type, code_mac, code_box, code_purpose, code_expires_at, code_attempts_max,
    challenge_ids, challenge_attempts, message_id, sends, resend_at, sent_at,
    unanswered)
  values (request.tenant_id, request.identifier, request.type, login.mac, login.box,
    case when request.purpose = 'login' then 'login' end, login.expires_at, coalesce(login.attempts_max, 0),
    coalesce(login.challenge_ids, '{}'), coalesce(login.challenge_attempts, '{}'), request.message_id, 1,
    now() + request.first_wait * interval '1 s', array[now()], (not request.is_suppressed)::int)
  on conflict do nothing
  returning * into i;
  if request.purpose <> 'login' and i.identifier is not null then
    perform save_code(request, code);
  end if;
  return i;
end
$$;
