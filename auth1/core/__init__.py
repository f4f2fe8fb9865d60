"""Bytes, sockets and clocks: what any service of this kind needs, without a word of this one's domain.

asgi       scope, receive, send -> Call -> handler -> bytes; one deadline and one log line per request
problems   a refusal as application/problem+json
schemas    JSON bytes -> Struct, and what is wrong with them in field/message pairs
router     method and path -> Route
paging     pages of a list
query      the query -> Struct
turns      how many requests that hold much for long may be under way
cors       which web origins may call
proxies    the client's address, through trusted proxies only
slots      rate limits: several buckets at once, all or none, in Redis or in the process
redis      one pipelined connection with a breaker
postgres   the pool, its deadlines, and the named statements of sql/queries
migrate    sql/migrations, forward only
crypto     keys derived from one secret; sealing and comparing
signals    stop signals, held back until a worker serves
streaming  an answer larger than memory, as fast as its client takes it
ids        ids that sort by time
moments    those that callers name
log        one JSON object per line, never blocking a request
"""
