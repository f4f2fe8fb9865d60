-- The rule that limits sends. Return null if an identifier may get a message, else the reason: its budget is used up, or
-- the wait after the last message is not over. Zero seconds of first wait mean no wait.
create function may_send(sent_at timestamptz[], resend_at timestamptz, per_hour int, first_wait int) returns text
language sql stable
as $$
  select case
    when full_until(sent_at, per_hour) is not null then 'full'
    when first_wait > 0 and coalesce(resend_at > now(), false) then 'too_soon' end
$$;
