-- What a connection itself is told.

-- name: allow_time
-- Until the end of the transaction a statement may take longer. $1 such as 10000ms
select set_config('statement_timeout', $1, true)
