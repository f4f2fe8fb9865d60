-- Readers that follow the table of events in the order of (tx, id). An event is final when no older transaction is open:
-- then no earlier event can appear. This holds whatever the clocks of the instances say.

-- name: lock_reader
-- Lock the row of a reader. No row while another process reads. `is_restored`: the events are from another cluster. The
-- setting is for the next statements: a generic plan would otherwise sort all events that are not read yet, each round.
with clock as (
  select pg_snapshot_xmax(pg_current_snapshot())::text::bigint + tx_offset as next from event_clock
)
select r.tx::text as tx, r.id, r.round, now() as started_at, set_config('enable_sort', 'off', true) as sorting,
  greatest((select max(tx) from events), r.tx)::text::bigint >= (select next from clock) as is_restored
from event_readers r where r.name = @name for update skip locked

-- name: read_final_events
-- Return the next events that are final.
select tenant_id, id, type, actor, subject, request_id, network, data::text as data, created_at, tx::text as tx
from events
where tx >= @tx::text::xid8 and (tx, id) > (@tx::text::xid8, @id::text)
  and tx < (select (pg_snapshot_xmin(pg_current_snapshot())::text::bigint + tx_offset)::text::xid8 from event_clock)
order by events.tx, events.id limit @max_rows

-- name: read_events_without_transaction
-- Return the next events of versions that stored no transactions.
select tenant_id, id, type, actor, subject, request_id, network, data::text as data, created_at, tx::text as tx
from events where tx = '0' and id > @id::text order by id limit @max_rows

-- name: advance_reader
-- Set the place of a reader.
update event_readers set tx = @tx::text::xid8, id = @id, round = @round where name = @name

-- name: measure_lag
-- Return the seconds since the oldest event that the reader has not read was made.
select greatest(extract(epoch from now() - coalesce(
  (select e.created_at from events e where r.tx = '0' and e.tx = '0' and e.id > r.id order by e.id limit 1),
  (select e.created_at from events e where e.tx > '0' and e.tx >= r.tx and (e.tx > r.tx or e.id > r.id) order by e.tx limit 1),
  now())), 0)::float8 as lag_s
from event_readers r where r.name = @name

-- name: continue_event_clock
-- Raise the transaction id of new events after a restore into another cluster.
select continue_event_clock()
