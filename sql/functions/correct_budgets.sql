-- Correct the budgets of today by the final cost of messages. Messages of older releases were not counted.
create function correct_budgets(recorded recorded_delivery[]) returns void
language plpgsql
as $$
begin
  -- Lock the budgets in one order first.
  perform from (select distinct (d.request).tenant_id from unnest(recorded) as d order by 1) as t
  cross join lateral (select from budgets b where b.tenant_id = t.tenant_id for no key update) as locked;
  update budgets b set messages = b.messages + c.messages, microdollars = b.microdollars + c.microdollars
  from (
    select (d.request).tenant_id, (d.created_at at time zone 'UTC')::date as day, sum(d.sends) as messages,
      sum(d.price_microdollars - d.counted_microdollars) as microdollars
    from unnest(recorded) as d
    where (d.request).tenant_id not like '%:test' and d.price_microdollars is not null and d.counted_microdollars is not null
    group by 1, 2
  ) as c
  where b.tenant_id = c.tenant_id and b.day = c.day;
end
$$;
