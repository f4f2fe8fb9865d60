-- Return what an identifier keeps after a right code: the next code need not wait, no send is counted, and the streak of
-- wrong codes ends. The code settles the sends of its login, at most two: so a number that answers one code of many does
-- not stay known.
create function after_right_code(answered int, unanswered int, sends int)
returns table (next_resend_at timestamptz, next_sends int, next_streak int, next_answered int, next_unanswered int)
language sql immutable
as $$ select null::timestamptz, 0, 0, answered + 1, greatest(unanswered - least(greatest(sends, 1), 2), 0) $$;
