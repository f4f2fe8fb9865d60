-- Return the time until which the send budget of an identifier is used up, null if it is not: `per_hour` sends in a sliding
-- hour, twice as many in a day. `sent_at` is newest first. Zero sends per hour means no limit.
create function full_until(sent_at timestamptz[], per_hour int) returns timestamptz
language sql stable
as $$
  select greatest(
    case when sent_at[per_hour] > now() - interval '1 hour' then sent_at[per_hour] + interval '1 hour' end,
    case when sent_at[2 * per_hour] > now() - interval '1 day' then sent_at[2 * per_hour] + interval '1 day' end)
$$;
