-- Insert events.
create function record_events(new_events new_event[]) returns void
language plpgsql
as $$
begin
  insert into events (tenant_id, id, type, actor, subject, request_id, network, data)
  select e.tenant_id, e.id, e.type, e.actor, e.subject, e.request_id, e.network, e.data from unnest(new_events) as e;
end
$$;
