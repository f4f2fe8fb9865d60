-- Count a send of a locked identifier and store the code that is sent. Returns the new row.
create function update_identifier(i identifiers, request open_challenge, code live_code) returns identifiers
language plpgsql
as $$
begin
  i.sends := case when i.sent_at[1] > now() - interval '1 hour' then least(i.sends + 1, 100) else 1 end;
  i.resend_at := now() + request.first_wait * least(2 ^ (i.sends - 1), 4) * interval '1 s';
  -- Other purposes have half of the budget of logins. The row stores as many sends as logins need.
  i.sent_at := (now() || i.sent_at)[1:case
    when request.purpose = 'login' or request.sends_per_hour = 0 then 2 * request.sends_per_hour
    else 4 * request.sends_per_hour + 2 end];
  i.message_id := request.message_id;
  i.unanswered := i.unanswered + (not request.is_suppressed)::int;
  if request.purpose = 'login' then
    update identifiers as u set code_mac = code.mac, code_box = code.box, code_purpose = 'login', code_expires_at = code.expires_at,
      code_attempts = code.attempts, code_attempts_max = code.attempts_max, challenge_ids = code.challenge_ids,
      challenge_attempts = code.challenge_attempts, message_id = i.message_id, sends = i.sends, resend_at = i.resend_at,
      sent_at = i.sent_at, unanswered = i.unanswered
    where u.tenant_id = i.tenant_id and u.identifier = i.identifier;
  else
    update identifiers as u set message_id = i.message_id, sends = i.sends, resend_at = i.resend_at, sent_at = i.sent_at,
      unanswered = i.unanswered
    where u.tenant_id = i.tenant_id and u.identifier = i.identifier;
    perform save_code(request, code);
  end if;
  return i;
end
$$;
