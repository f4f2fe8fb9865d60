-- Correct the spending by the final cost of messages.
create function correct_spending(recorded recorded_delivery[]) returns void
language plpgsql
as $$
begin
  insert into spending as s (tenant_id, day, country, channel, slot, messages, microdollars)
  select (d.request).tenant_id, (d.created_at at time zone 'UTC')::date, coalesce(d.country, ''), d.channel,
    pg_backend_pid() % 16, sum(d.sends), sum(d.price_microdollars - d.counted_microdollars)
  from unnest(recorded) as d
  where (d.request).tenant_id not like '%:test' and d.price_microdollars is not null and d.counted_microdollars is not null
    and (d.sends <> 0 or d.price_microdollars <> d.counted_microdollars)
  group by 1, 2, 3, 4
  order by 1, 2, 3, 4
  on conflict (tenant_id, day, country, channel, slot) do update set
    messages = s.messages + excluded.messages, microdollars = s.microdollars + excluded.microdollars;
end
$$;
