-- Settings and state of a connection.

-- name: allow_time
-- Until the end of the transaction a statement may take longer.
select set_config('statement_timeout', @timeout, true)

-- name: read_clock
-- The server's clock, in seconds since 1970.
select extract(epoch from clock_timestamp())::float8
