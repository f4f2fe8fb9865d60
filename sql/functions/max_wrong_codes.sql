-- Return the budget of an identifier: the wrong codes an hour of callers that name no challenge.
create function max_wrong_codes() returns int
language sql immutable
as $$ select 25 $$;
