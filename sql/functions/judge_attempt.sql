-- The rule that limits wrong codes. Decide about an attempt under the lock of the identifier's row:
--   none       no live code, or the named challenge does not belong to it
--   exhausted  the challenge (or the code, for callers that name no challenge) has no attempts left
--   locked     the caller names no challenge, and the identifier's budget of wrong codes an hour is spent
--   ok, wrong  the code was compared
-- `place` is the position of the named challenge. `retry_at` is the time when a retry can succeed.
create function judge_attempt(
  code live_code, wrong_at timestamptz[], unnamed_locked_until timestamptz, resend_at timestamptz,
  code_macs bytea[], challenge_id text
) returns table (verdict text, place int, attempts_remaining int, retry_at timestamptz)
language sql stable
as $$
  select
    case
      when code.mac is null or not coalesce(code.expires_at > now(), false) or (challenge_id is not null and p.place is null)
        then 'none'
      when r.of_code <= 0 then 'exhausted'
      when challenge_id is null and (r.of_hour <= 0 or coalesce(unnamed_locked_until > now(), false)) then 'locked'
      when code.mac = any(code_macs) then 'ok'
      else 'wrong' end,
    p.place,
    greatest(case when challenge_id is null then least(r.of_code, r.of_hour) else r.of_code end - 1, 0)::int,
    case when r.of_code <= 0 then resend_at else greatest(unnamed_locked_until, wrong_at[max_wrong_codes()] + interval '1 hour') end
  from (select array_position(code.challenge_ids, challenge_id) as place) as p
  cross join lateral (
    select code.attempts_max - coalesce(code.challenge_attempts[p.place], code.attempts) as of_code,
      max_wrong_codes() - (select count(*) from unnest(wrong_at) as w where w > now() - interval '1 hour') as of_hour
  ) as r
$$;
