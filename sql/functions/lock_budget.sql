-- Lock and return a tenant's budget of today; create it from the spending of today if it is missing. The row is the one
-- lock of a tenant with a budget, so no number of simultaneous requests exceeds it. Around midnight the later day counts.
create function lock_budget(tenant_id text) returns budgets
language plpgsql
as $$
#variable_conflict use_column
declare
  budget budgets;
  today constant date := (now() at time zone 'UTC')::date;
begin
  loop
    select * into budget from budgets as b where b.tenant_id = lock_budget.tenant_id for no key update;
    exit when found;
    insert into budgets (tenant_id, day, messages, microdollars)
    select lock_budget.tenant_id, today, coalesce(sum(s.messages), 0), coalesce(sum(s.microdollars), 0)
    from spending as s where s.tenant_id = lock_budget.tenant_id and s.day = today
    on conflict do nothing;
  end loop;
  if budget.day < today then
    budget.day := today;
    budget.messages := 0;
    budget.microdollars := 0;
    budget.told := '{}';
  end if;
  return budget;
end
$$;
