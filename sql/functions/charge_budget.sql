-- Count a message against a tenant's locked budget. Each alert of a day is sent once: `soft`, or the limit that rejected a
-- message (`messages`, `money`). Returns the event of a new alert, else null.
create function charge_budget(budget budgets, request open_challenge, sent int, rejection text) returns new_event
language plpgsql
as $$
declare
  spent constant bigint := budget.microdollars + sent * request.price_microdollars;
  budget_alert text := case
    when rejection is not null then rejection
    when sent > 0 and spent >= request.budget_soft_microdollars then 'soft' end;
begin
  if budget_alert = any(budget.told) then
    budget_alert := null;
  end if;
  if sent = 0 and budget_alert is null then
    return null;
  end if;
  update budgets b set day = budget.day, messages = budget.messages + sent, microdollars = spent,
    told = budget.told || array_remove(array[budget_alert], null)
  where b.tenant_id = budget.tenant_id;
  if budget_alert is null then
    return null;
  end if;
  return row(request.tenant_id, request.budget_event_id, 'budget.reached', request.actor, request.tenant_id,
    request.request_id, request.network, jsonb_build_object(
      'mark', case budget_alert when 'soft' then 'soft' else 'hard' end,
      'budget', case budget_alert when 'messages' then 'messages_per_day' else 'sms_budget_per_day' end,
      'messages', budget.messages + sent, 'dollars', round(spent / 1000000.0, 6)))::new_event;
end
$$;
