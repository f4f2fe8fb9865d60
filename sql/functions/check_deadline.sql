-- Raise an error after the deadline of a request. The caller has already returned 503, so nothing may be spent: the error
-- rolls everything back.
create function check_deadline(deadline timestamptz) returns void
language plpgsql
as $$
begin
  if clock_timestamp() > deadline then
    raise exception 'the deadline of the request has passed' using errcode = 'AU001';
  end if;
end
$$;
