-- Streams of events. One poll per worker reads what is final.

-- name: begin_poll
-- Events of transactions below `final_tx` are final; no transaction has `next_tx` yet. The setting is for the next
-- statement, as in lock_reader.
select (pg_snapshot_xmin(pg_current_snapshot())::text::bigint + tx_offset)::text as final_tx,
  (pg_snapshot_xmax(pg_current_snapshot())::text::bigint + tx_offset)::text as next_tx,
  set_config('enable_sort', 'off', true) as sorting
from event_clock

-- name: valid_callers
-- Return the keys and tenants whose streams may continue.
select k.id from keys k join tenants t on t.id = k.tenant_id
where k.id = any(@key_ids) and (k.revoked_at is null or k.revoked_at > now()) and (k.expires_at is null or k.expires_at > now())
  and t.deleted_at is null and t.suspended_at is null
union all
select id from tenants where id = any(@tenant_ids) and deleted_at is null

-- name: newest_event
-- The newest final event of a tenant up to a position: a stream that begins after it can be resumed before its first event.
select id from events
where tenant_id = @tenant_id and (tx, id) <= (@tx::text::xid8, @id::text)
order by id desc limit 1
