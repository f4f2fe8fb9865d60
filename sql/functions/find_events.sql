-- Return an event by id, in the format of the statement that inserted it; null without one. For retries after a lost
-- commit.
create function find_events(tenant_id text, id text) returns text
language sql stable
as $$
  select json_agg(event_json(e))::text from events e where e.tenant_id = find_events.tenant_id and e.id = find_events.id
$$;
