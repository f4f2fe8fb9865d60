-- Count an attempt for the challenge at a position; without a position nothing changes.
create function count_attempt(challenge_attempts smallint[], place int) returns smallint[]
language sql immutable
as $$
  select case
    when place is null then challenge_attempts
    else challenge_attempts[:place - 1] || (challenge_attempts[place] + 1)::smallint || challenge_attempts[place + 1:] end
$$;
