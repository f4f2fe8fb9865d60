-- Release one request of a rate limit, because it turned out to be legitimate.
--
-- KEYS      the rate limit, as ratelimit_acquire.lua writes it; its newest request is released
-- Returns   1 when a request was released, 0 when none was counted
local value = redis.call('GET', KEYS[1])
if not value then
  return 0
end
local released = 0
local counts = string.gsub(string.match(value, ':(.*)'), '%d+', function(count)
  if released == 0 and tonumber(count) > 0 then
    released = 1
    return tostring(tonumber(count) - 1)
  end
end)
redis.call('SET', KEYS[1], string.match(value, '^%d+:') .. counts, 'KEEPTTL')
return released
