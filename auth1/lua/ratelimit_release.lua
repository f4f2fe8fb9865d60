-- Give one slot of a bucket back: what it guarded against has turned out not to be the case.
--
-- KEYS      the bucket, as ratelimit_acquire.lua writes it; its newest slot goes
-- Returns   1 when a slot was given back, 0 when none was taken
local value = redis.call('GET', KEYS[1])
if not value then
  return 0
end
local given = 0
local counts = string.gsub(string.match(value, ':(.*)'), '%d+', function(count)
  if given == 0 and tonumber(count) > 0 then
    given = 1
    return tostring(tonumber(count) - 1)
  end
end)
redis.call('SET', KEYS[1], string.match(value, '^%d+:') .. counts, 'KEEPTTL')
return given
