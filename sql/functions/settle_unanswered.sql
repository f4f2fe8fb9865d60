-- Return the unanswered sends of an identifier after a right code. It settles the sends of its login, at most two: so a
-- number that answers one code of many does not stay known.
create function settle_unanswered(unanswered int, sends int) returns int
language sql immutable
as $$ select greatest(unanswered - least(greatest(sends, 1), 2), 0) $$;
