-- Return the code to send: the live one again, or a new one. A live code keeps its challenges even when a new code replaces
-- it. So an attacker that uses up its attempts and requests another code cannot invalidate the challenge of the owner.
create function next_code(code live_code, request open_challenge) returns live_code
language sql stable
as $$
  select row(
    case when d.opens then d.mac else code.mac end,
    case when d.opens then request.code_box else code.box end,
    case when d.opens then now() + request.expires_in * interval '1 s' else code.expires_at end,
    case when d.opens then 0 else code.attempts end,
    case when d.opens then request.attempts_max else code.attempts_max end,
    case when d.repeats then code.challenge_ids
      when d.is_live then (request.challenge_id || code.challenge_ids)[1:10] else array[request.challenge_id] end,
    case when d.repeats then code.challenge_attempts
      when d.is_live then (0::smallint || code.challenge_attempts)[1:10] else array[0::smallint] end
  )::live_code
  from (
    select *,
      -- A code with less than two minutes or without attempts left is replaced. So is one that was encrypted under a
      -- removed secret, because it cannot be sent again.
      not (is_live and code.expires_at > now() + interval '2 min' and code.attempts < code.attempts_max
        and substr(code.box, 1, 4) = any(request.box_prefixes) and (code.mac = '') = (mac = '')) as opens,
      is_live and coalesce(
        code.challenge_attempts[array_position(code.challenge_ids, request.repeat_id)] < code.attempts_max, false) as repeats
    from (
      select coalesce(code.mac is not null and code.expires_at > now(), false) as is_live,
        case when request.is_suppressed then ''::bytea else request.code_mac end as mac
    ) as l
  ) as d
$$;
