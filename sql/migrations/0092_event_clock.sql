-- The same function with a variable that no column hides.
-- After a restore into another cluster, let the numbers of new transactions follow those of the restored events. Returns
-- whether that was necessary.
create or replace function continue_event_clock() returns boolean
language plpgsql
as $$
declare
  highest bigint;
  next bigint;
  distance bigint;
begin
  select c.tx_offset into strict distance from event_clock c for update;
  select greatest((select max(tx) from events)::text::bigint, (select max(r.tx) from event_readers r)::text::bigint) into highest;
  next := pg_snapshot_xmax(pg_current_snapshot())::text::bigint;
  if highest is null or highest < next + distance then
    return false;
  end if;
  lock table events in access exclusive mode;
  select greatest(highest, (select max(tx) from events)::text::bigint) into highest;
  next := pg_snapshot_xmin(pg_current_snapshot())::text::bigint;
  distance := highest + 1 - next;
  update event_clock set tx_offset = distance;
  execute format('alter table events alter column tx set default (pg_current_xact_id()::text::bigint + %s)::text::xid8', distance);
  return true;
end
$$;
