-- Return what an identifier keeps after a wrong code: the times of wrong codes without a challenge, newest first; the streak
-- since the last right code; and the end of the lock of callers that name no challenge. The 100th wrong code in a row locks
-- them for 24 hours, and the streak begins anew.
create function after_wrong_code(
  wrong_at timestamptz[], streak int, locked_until timestamptz, names_challenge boolean
) returns table (next_wrong_at timestamptz[], next_streak int, next_locked_until timestamptz)
language sql stable
as $$
  select
    case when names_challenge then wrong_at else (now() || wrong_at)[1:max_wrong_codes()] end,
    (streak + 1) % 100,
    case when streak >= 99 then now() + interval '24 hours' else locked_until end
$$;
