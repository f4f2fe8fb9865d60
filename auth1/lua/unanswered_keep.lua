-- Keep the ids of the events that a login without a response would have recorded, for its repeats.
--
-- KEYS[1]   the logins of an identifier: a hash of ids by the MAC of the code
-- ARGV      MAC of the code, the time to keep the hash in seconds, then the ids
-- Returns   the number of codes
local ids = redis.call('HGET', KEYS[1], ARGV[1])
if not ids and redis.call('HLEN', KEYS[1]) >= MAX_CODES then
  return MAX_CODES
end
ids = (ids and ids .. ' ' or '') .. table.concat(ARGV, ' ', 3)
redis.call('HSET', KEYS[1], ARGV[1], string.sub(ids, -MAX_IDS * (#ARGV[3] + 1) + 1))
redis.call('EXPIRE', KEYS[1], ARGV[2])
return redis.call('HLEN', KEYS[1])
