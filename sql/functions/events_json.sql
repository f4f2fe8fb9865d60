-- Write those of some events that have one of two ids as a JSON array, as every statement returns its events; null: none.
create function events_json(new_events new_event[], id text, other_id text) returns text
language sql stable
as $$
  select json_agg(e)::text from unnest(new_events) as e where e.id in (events_json.id, events_json.other_id)
$$;
