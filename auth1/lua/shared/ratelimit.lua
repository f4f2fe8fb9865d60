-- Rate limits, for the scripts that acquire them.
--
-- A limit is a sliding window, counted in tenths: a request stops counting when its tenth leaves the window, nine to ten
-- tenths later. One small string per limit: "tenth:count,count,…", newest first.

-- Read `count` limits. `values` are their strings, or false; `sizes` has limit and window in ms of each from `first` on.
-- Returns the index of the exhausted limit (of several, the one with the longest wait; 0: none), the wait in ms, states.
local function read_limits(values, sizes, first, count, now)
  local refused, retry_after, states = 0, 0, {}
  for i = 1, count do
    local limit, tenth = tonumber(sizes[first + 2 * i - 2]), math.floor(sizes[first + 2 * i - 1] / 10)
    local index = math.floor(now / tenth)
    local counts = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }
    local value = values[i]
    local newest = value and string.match(value, '^%d+:')
    if newest then
      -- Never below 1: after a failover the clock may have gone back, and used requests stay used.
      local place = math.max(1, 1 + index - tonumber(string.sub(newest, 1, -2)))
      for number in string.gmatch(string.sub(value, #newest + 1), '%d+') do
        if place <= 10 then
          counts[place] = tonumber(number)
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
    states[i] = { limit, tenth, index, counts, used, reset }
  end
  return refused, retry_after, states
end

-- Append remaining requests and time until the next one returns (ms) of each limit to the reply. Acquire them if `acquired`.
local function write_limits(keys, states, acquired, reply)
  for i, state in ipairs(states) do
    local limit, tenth, index, counts, used, reset = unpack(state)
    if acquired then
      counts[1], used = counts[1] + 1, used + 1
      redis.call('SET', keys[i], string.format('%d:', index) .. table.concat(counts, ','), 'PX', 10 * tenth)
    end
    reply[#reply + 1] = math.max(0, limit - used)
    reply[#reply + 1] = reset
  end
end
