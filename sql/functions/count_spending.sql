-- Count the messages of challenges that were opened, and their price. A sandbox sends nothing. The counters are locked last
-- and in one order, because the logins of a tenant share them.
create function count_spending(opened opened_challenge[]) returns void
language plpgsql
as $$
begin
  insert into spending as s (tenant_id, day, country, channel, slot, messages, microdollars)
  select r.tenant_id, (now() at time zone 'UTC')::date, coalesce(r.country, ''), channel_of(r.type), pg_backend_pid() % 16,
    count(*), sum(r.price_microdollars)
  from unnest(opened) as o cross join lateral (select (o.request).*) as r
  where not r.is_suppressed and r.tenant_id not like '%:test'
  group by 1, 2, 3, 4
  order by 1, 3, 4
  on conflict (tenant_id, day, country, channel, slot) do update set
    messages = s.messages + excluded.messages, microdollars = s.microdollars + excluded.microdollars;
end
$$;
