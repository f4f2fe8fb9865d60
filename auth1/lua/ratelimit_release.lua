-- Release requests of several rate limits, because they turned out to be legitimate.
--
-- KEYS      the rate limits, as ratelimit_acquire.lua writes them; all share one hash tag
-- ARGV      how many requests to release of each rate limit, the newest first; 1 where there is none
-- Returns   how many requests were released
local released = 0
for i, key in ipairs(KEYS) do
  local wanted = tonumber(ARGV[i] or 1)
  local value = redis.call('GET', key)
  if value then
    local left = wanted
    local counts = string.gsub(string.match(value, ':(.*)'), '%d+', function(count)
      local taken = math.min(left, tonumber(count))
      left = left - taken
      return string.format('%d', tonumber(count) - taken)
    end)
    if left < wanted then
      redis.call('SET', key, string.match(value, '^%d+:') .. counts, 'KEEPTTL')
      released = released + wanted - left
    end
  end
end
return released
