"""Infrastructure without domain knowledge.

http               requests and responses (package)
outbound           requests to other services (package)
postgres           the pool, named queries, SQL functions, migrations (package)
processes          worker processes and their tasks (package)
telemetry          log lines and traces (package)
redis              one pipelined connection for each server: single, Sentinel or Cluster; Lua scripts (package)
ratelimit          several rate limits acquired at once, all or none, in Redis or in this process
circuit_breaker    stops calling a dependency that keeps failing
schemas            decoded JSON -> Struct -> JSON bytes, and field errors
stored_json        bounds of a JSON object that PostgreSQL stores for a caller
sentences          field errors in plain sentences
csv_text           CSV that is safe to open in a spreadsheet
standard_webhooks  signatures of Standard Webhooks
crypto             keys derived from one secret; sealing and comparing
ids                ids that sort by time
packed             sorted integers as bytes
timestamps         timestamps that callers send
"""
