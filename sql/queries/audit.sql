-- Seals of events, and their chains.

-- name: chain_ends
-- Return the last seal of each tenant.
select s.tenant_id, s.seq, s.head, s.mac, s.key, s.last_tx::text as last_tx, s.last_id, s.sealed_at
from unnest(@tenant_ids::text[]) as t(tenant_id)
cross join lateral (select * from event_seals where tenant_id = t.tenant_id order by seq desc limit 1) as s

-- name: list_chain_ends
-- Return the last seals of the next tenants.
with recursive tenants_with_seals as (
  (select tenant_id, 1 as number from event_seals where tenant_id > @after order by tenant_id limit 1)
  union all
  select (select s.tenant_id from event_seals s where s.tenant_id > t.tenant_id order by s.tenant_id limit 1), t.number + 1
  from tenants_with_seals t where t.tenant_id is not null and t.number < @max_rows
)
select s.tenant_id, s.seq, s.head, s.mac, s.key, s.last_tx::text as last_tx, s.last_id, s.sealed_at
from tenants_with_seals t
cross join lateral (select * from event_seals where tenant_id = t.tenant_id order by seq desc limit 1) as s
order by s.tenant_id

-- name: lock_place
-- Lock the row of a reader, and wait for it, because this work must be done once.
select tx::text as tx, id, round, now() as started_at, false as is_restored from event_readers where name = @name for update

-- name: count_round
-- Count a round without events.
update event_readers set round = round + 1 where name = @name

-- name: insert_seals
-- Insert the seals of a round, one per tenant.
insert into event_seals (tenant_id, seq, round, first_tx, last_tx, last_id, events, ids, leaves, root, head, mac, key, sealed_at)
select s.tenant_id, s.seq, @round, s.first_tx::xid8, s.last_tx::xid8, s.last_id, s.events, s.ids, s.leaves, s.root, s.head, s.mac,
  @key, @sealed_at
from unnest(@tenant_ids::text[], @seqs::bigint[], @first_txs::text[], @last_txs::text[], @last_ids::text[], @counts::int[],
  @ids::bytea[], @leaves::bytea[], @roots::bytea[], @heads::bytea[], @macs::bytea[])
  as s(tenant_id, seq, first_tx, last_tx, last_id, events, ids, leaves, root, head, mac)


-- name: lock_heads
-- The rounds whose heads are not written. No row while another process writes them.
select h.round as written, s.round as sealed
from event_readers h, event_readers s where h.name = 'heads' and s.name = 'seals' for update of h skip locked

-- name: list_heads
-- The last seal of each chain that grew in a range of rounds, by pages of tenants.
select s.tenant_id, s.seq, s.head, s.mac, s.key, s.last_tx::text as last_tx, s.last_id, s.sealed_at
from (
  select distinct tenant_id from event_seals where round > @first_round and round <= @last_round and tenant_id > @after
  order by tenant_id limit @max_rows
) as t
cross join lateral (select * from event_seals where tenant_id = t.tenant_id order by seq desc limit 1) as s
order by s.tenant_id

-- name: advance_heads
-- Store that all heads up to this round are written.
update event_readers set round = @round where name = 'heads'

-- name: find_head
-- The last seal of a tenant, and the number of its events that are not sealed, of the next events of all tenants.
select s.seq, s.head, s.mac, s.key, s.sealed_at,
  (select count(*) from (
    select e.tenant_id from event_readers r join events e on e.tx >= r.tx and (e.tx, e.id) > (r.tx, r.id)
    where r.name = 'seals' order by e.tx limit @max_rows
  ) as unread where unread.tenant_id = @tenant_id) as unsealed
from (select 1) as one left join lateral (
  select * from event_seals where tenant_id = @tenant_id order by seq desc limit 1
) as s on true

-- name: place_of_seals
-- Return the last sealed event and the last round.
select tx::text as tx, id, round, now() as started_at, false as is_restored from event_readers where name = 'seals'

-- name: seals_by_round
-- Return the next seals of all tenants, in the order in which they were made.
select tenant_id, seq, round, first_tx::text as first_tx, last_tx::text as last_tx, last_id, events, ids, leaves, root, head, mac,
  key, sealed_at
from event_seals
where round >= @round and round <= @last_round and (round, tenant_id) > (@round, @after::text)
order by round, tenant_id limit @max_rows

-- name: seals_of_tenant
-- Return the next seals of one tenant.
select tenant_id, seq, round, first_tx::text as first_tx, last_tx::text as last_tx, last_id, events, ids, leaves, root, head, mac,
  key, sealed_at
from event_seals where tenant_id = @tenant_id and seq > @seq and round <= @last_round
order by seq limit @max_rows

-- name: sealed_events
-- Return the next events of all tenants, or of one, up to a place.
select tenant_id, id, type, actor, subject, request_id, network, data::text as data, created_at, tx::text as tx
from events
where tx >= @tx::text::xid8 and (tx, id) > (@tx::text::xid8, @id::text)
  and tx <= @last_tx::text::xid8 and (tx, id) <= (@last_tx::text::xid8, @last_id::text)
  and (@tenant_id::text is null or tenant_id = @tenant_id)
order by events.tx, events.id limit @max_rows

-- name: sealed_events_without_transaction
-- Return the next events of versions that stored no transactions, up to a place.
select tenant_id, id, type, actor, subject, request_id, network, data::text as data, created_at, tx::text as tx
from events
where tx = '0' and id > @id::text and (@last_id::text is null or id <= @last_id)
  and (@tenant_id::text is null or tenant_id = @tenant_id)
order by id limit @max_rows

-- name: count_unsealed
-- Return the number of events that are in no seal yet.
select count(*) as events from events e
where e.tx >= @tx::text::xid8 and (e.tx, e.id) > (@tx::text::xid8, @id::text)
  and (@tenant_id::text is null or e.tenant_id = @tenant_id)

-- name: round_before
-- The last round that was sealed before a moment, and its last event. No row without one.
select round, max(last_tx)::text as tx, max(last_id) as id, max(sealed_at) as started_at, false as is_restored
from event_seals s
where round = (select l.round from event_seals l where l.sealed_at < @since order by l.round desc limit 1)
  and (last_tx, last_id) = (select m.last_tx, m.last_id from event_seals m where m.round = s.round order by m.last_tx desc, m.last_id desc limit 1)
group by round

-- name: find_seal
-- Return a seal of a tenant by its number.
select s.tenant_id, s.seq, s.head, s.mac, s.key, s.last_tx::text as last_tx, s.last_id, s.sealed_at
from event_seals s where s.tenant_id = @tenant_id and s.seq = @seq

-- name: find_events
-- Return the events with an id, of any of the tenants.
select e.tenant_id, e.id, e.type, e.actor, e.subject, e.request_id, e.network, e.data::text as data, e.created_at, e.tx::text as tx
from unnest(@tenant_ids::text[]) as t(tenant_id) join events e on e.tenant_id = t.tenant_id and e.id = @id

-- name: heads_of_seals
-- Return the seals that lines of a log name.
select l.tenant_id, l.seq, s.head,
  (select max(n.seq) from event_seals n where n.tenant_id = l.tenant_id) as last_seq
from unnest(@tenant_ids::text[], @seqs::bigint[]) as l(tenant_id, seq)
left join event_seals s on s.tenant_id = l.tenant_id and s.seq = l.seq

-- name: last_purge
-- The newest mark below which events of a tenant may be missing, if it is sealed.
select e.tenant_id, e.id, e.type, e.actor, e.subject, e.request_id, e.network, e.data::text as data, e.created_at, e.tx::text as tx
from (
  select * from events where coalesce(data ->> 'user_id', subject) = @tenant_id and type = 'audit.purged' offset 0
) as e
where e.tenant_id = @tenant_id and (e.tx, e.id) <= (select r.tx, r.id from event_readers r where r.name = 'seals')
order by e.data ->> 'before_id' desc limit 1

-- name: seals_around
-- Return the seals of a tenant whose transactions include one.
select tenant_id, seq, round, first_tx::text as first_tx, last_tx::text as last_tx, last_id, events, ids, leaves, root, head, mac,
  key, sealed_at
from event_seals where tenant_id = @tenant_id and first_tx <= @tx::text::xid8 and last_tx >= @tx::text::xid8 order by seq
