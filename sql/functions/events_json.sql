-- Return the events with one of two ids as a JSON array, the format of all statements; null without any.
create function events_json(new_events new_event[], id text, other_id text) returns text
language sql stable
as $$
  select json_agg(e)::text from unnest(new_events) as e where e.id in (events_json.id, events_json.other_id)
$$;
