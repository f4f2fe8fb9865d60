-- Remove the attempts of the challenge at a position.
create function remove_attempts(challenge_attempts smallint[], place int) returns smallint[]
language sql immutable
as $$ select challenge_attempts[:place - 1] || challenge_attempts[place + 1:] $$;
