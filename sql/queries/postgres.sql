-- Settings and state of a connection.

-- name: allow_time
-- Until the end of the transaction a statement may take longer. `in_order`: it reads by an index instead of sorting all rows.
select set_config('statement_timeout', @timeout, true),
  case when @in_order::boolean then set_config('enable_sort', 'off', true) end

-- name: read_clock
-- Return the server's clock, in seconds since 1970.
select extract(epoch from clock_timestamp())::float8

-- name: read_statement_timeout
-- Return the statement timeout, in milliseconds.
select setting::integer from pg_settings where name = 'statement_timeout'

-- name: read_log_end
-- Return the end of the write-ahead log, in bytes; null on a standby.
select case when not pg_is_in_recovery() then (pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint end as log_end

-- name: read_replayed
-- Return what a standby has replayed, in bytes; null on a primary.
select case when pg_is_in_recovery() then (coalesce(pg_last_wal_replay_lsn(), '0/0') - '0/0'::pg_lsn)::bigint end as replayed
