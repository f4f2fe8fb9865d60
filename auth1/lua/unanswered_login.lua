-- Keep the ids of the events that a login without a response would have recorded, for its repeats.
--
-- KEYS[1]   the login: a list of ids
-- ARGV      the time to keep the list, in seconds; then the ids
-- Returns   the length of the list, at most MAX_IDS
redis.call('RPUSH', KEYS[1], unpack(ARGV, 2))
redis.call('LTRIM', KEYS[1], -MAX_IDS, -1)
redis.call('EXPIRE', KEYS[1], ARGV[1])
return redis.call('LLEN', KEYS[1])
