-- Acquire one request of each of several rate limits: of all of them or of none (shared/ratelimit.lua has the arithmetic).
--
-- Uses      ratelimit
-- KEYS      the rate limits; all share one hash tag
-- ARGV      limit and window in ms for each rate limit, in the order of KEYS
-- Returns   {limited_by, retry_after_ms, remaining 1, reset_ms 1, remaining 2, reset_ms 2, …}
--           limited_by: 0 when acquired, else the index of the exhausted limit (of several, the one with the longest wait)
--           reset_ms: time until the next request returns
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local values = {}
for i, key in ipairs(KEYS) do
  values[i] = redis.call('GET', key)
end
local limited_by, retry_after, states = read_limits(values, ARGV, 1, #KEYS, now)
local reply = { limited_by, retry_after }
write_limits(KEYS, states, limited_by == 0, reply)
return reply
