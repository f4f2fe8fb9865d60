-- Acquire one request of each of several rate limits: of all of them or of none.
--
-- A limit is a sliding window, counted in tenths: a request stops counting when its tenth leaves the window, nine to ten
-- tenths later. One small string per limit: "tenth:count,count,…", newest first.
--
-- KEYS      the rate limits; all share one hash tag
-- ARGV      limit and window in ms for each rate limit, in the order of KEYS
-- Returns   {refused, retry_after_ms, remaining 1, reset_ms 1, remaining 2, reset_ms 2, …}
--           refused: 0 when acquired, else the index of the exhausted limit (of several, the one with the longest wait)
--           reset_ms: time until the next request returns
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local refused, retry_after = 0, 0
local states = {}

for i, key in ipairs(KEYS) do
  local limit, tenth = tonumber(ARGV[2 * i - 1]), math.floor(ARGV[2 * i] / 10)
  local index = math.floor(now / tenth)
  local counts = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }
  local value = redis.call('GET', key)
  if value then
    -- Never below 1: after a failover the clock may have gone back, and used requests stay used.
    local place = math.max(1, 1 + index - tonumber(string.match(value, '^%d+')))
    for count in string.gmatch(string.match(value, ':(.*)'), '%d+') do
      if place <= 10 then
        counts[place] = tonumber(count)
      end
      place = place + 1
    end
  end
  local used, reset, wait = 0, (index + 10) * tenth - now, 0
  for place = 1, 10 do
    used = used + counts[place]
  end
  local rest = used
  for place = 10, 1, -1 do
    -- Oldest first: `rest` counts what remains after this tenth has left the window.
    if counts[place] > 0 then
      local leaves = (index - place + 11) * tenth - now
      reset = math.min(reset, leaves)
      if rest + 1 > limit then
        wait = leaves
      end
      rest = rest - counts[place]
    end
  end
  if wait > retry_after then
    refused, retry_after = i, wait
  end
  states[i] = { key, limit, tenth, index, counts, used, reset }
end

local reply = { refused, retry_after }
for i, state in ipairs(states) do
  local key, limit, tenth, index, counts, used, reset = unpack(state)
  if refused == 0 then
    counts[1], used = counts[1] + 1, used + 1
    redis.call('SET', key, string.format('%d:', index) .. table.concat(counts, ','), 'PX', 10 * tenth)
  end
  reply[2 * i + 1] = math.max(0, limit - used)
  reply[2 * i + 2] = reset
end
return reply
