-- Record decisions of the fraud rules, and the event of each rejected request. Inserts only: idempotent by decision_id.
create type record_decision as (
  tenant_id text,
  decision_id text,
  decision text,
  is_enforced boolean,
  score real,
  reasons text[],
  features jsonb,
  scopes jsonb,
  rule_version smallint,
  request_id text,
  challenge_id text,
  message_id text,
  outcome text,                   -- null: not known yet
  event_id text,                  -- null: no event
  event_type text,
  actor text,
  network text,
  data jsonb,                     -- of the event
  deadline timestamptz
);
create type decision_result as (
  decision_id text,
  events text
);

create function record_decisions(requests record_decision[]) returns setof decision_result
language plpgsql
set search_path from current
set plan_cache_mode = force_generic_plan
as $$
declare
  new_events new_event[];
begin
  with inserted as (
    insert into decisions (tenant_id, id, decision, is_enforced, score, reasons, features, scopes, rule_version, request_id,
      challenge_id, message_id, outcome)
    select r.tenant_id, r.decision_id, r.decision, r.is_enforced, r.score, r.reasons, r.features, r.scopes, r.rule_version,
      r.request_id, r.challenge_id, r.message_id, r.outcome
    from unnest(requests) as r
    on conflict (tenant_id, id) do nothing
    returning id
  )
  select array_agg(row(r.tenant_id, r.event_id, r.event_type, r.actor, r.decision_id, r.request_id, r.network, r.data)::new_event)
  into new_events
  from unnest(requests) as r join inserted i on i.id = r.decision_id where r.event_id is not null;
  if new_events is not null then
    perform record_events(new_events);
  end if;
  perform check_deadline((select min(r.deadline) from unnest(requests) as r));
  return query
  select r.decision_id, coalesce(events_json(new_events, r.event_id, null), find_events(r.tenant_id, r.event_id))
  from unnest(requests) as r;
end
$$;
