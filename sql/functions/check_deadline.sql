-- Raise an error when the deadline of a request has passed. Its caller has given up and has answered 503, so nothing may be
-- spent any more: the error rolls back whatever was done.
create function check_deadline(deadline timestamptz) returns void
language plpgsql
as $$
begin
  if clock_timestamp() > deadline then
    raise exception 'the deadline of the request has passed' using errcode = 'AU001';
  end if;
end
$$;
