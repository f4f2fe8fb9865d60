-- Find what is kept for the repeat of a login without a response. Too many other codes delete it, as they end a challenge.
--
-- KEYS[1]   the logins of an identifier: a hash of ids by the MAC of the code; `wrong` is the number of other codes
-- ARGV      MAC of the code
-- Returns   the ids, separated by spaces; or nil
local ids = redis.call('HGET', KEYS[1], ARGV[1])
if not ids and redis.call('EXISTS', KEYS[1]) == 1 and redis.call('HINCRBY', KEYS[1], 'wrong', 1) >= MAX_WRONG then
  redis.call('DEL', KEYS[1])
end
return ids
