-- Find what is kept for the repeat of a login without a response. Repeats may try few codes, as a challenge allows few
-- attempts. A code counts once, before the result is known, so that simultaneous guesses count, too.
--
-- KEYS[1]   the logins of an identifier: a hash of ids by the MAC of the code; `tried` are the MACs of the tried codes
-- ARGV      MAC of the code
-- Returns   the ids, separated by spaces; or nil
if redis.call('EXISTS', KEYS[1]) == 0 then
  return false
end
local tried = redis.call('HGET', KEYS[1], 'tried') or ''
if not string.find(tried, ARGV[1], 1, true) then
  if #tried >= MAX_TRIED * (#ARGV[1] + 1) then
    return false
  end
  redis.call('HSET', KEYS[1], 'tried', tried .. ARGV[1] .. ' ')
end
return redis.call('HGET', KEYS[1], ARGV[1])
