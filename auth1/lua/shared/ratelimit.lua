-- Rate limits, for the scripts that acquire them.
--
-- A limit is a sliding window, counted in tenths: a request stops counting when its tenth leaves the window, nine to ten
-- tenths later. One small string per limit: "tenth:count,count,…", newest first; zeros at its end may be missing.

-- Return the counts of a value up to the oldest that is not 0, their sum, and the place of the oldest. `index`: this tenth.
local function read_counts(value, index)
  local counts, used, oldest = { 0 }, 0, 1
  local newest, listed = string.match(value or '', '^(%d+):(.*)$')
  if newest then
    -- Never below 1: after a failover the clock may have gone back, and used requests stay used.
    local place = math.max(1, 1 + index - tonumber(newest))
    for text in string.gmatch(listed, '%d+') do
      if place > 10 then
        break
      end
      local number = tonumber(text)
      if number > 0 then
        for empty = oldest + 1, place - 1 do
          counts[empty] = 0
        end
        counts[place], used, oldest = number, used + number, place
      end
      place = place + 1
    end
  end
  return counts, used, oldest
end

-- Read `count` limits. `values` are their strings, or false; `sizes` has limit and window in ms of each from `first` on.
-- Returns the index of the exhausted limit (of several, the one with the longest wait; 0: none), the wait in ms, states.
local function read_limits(values, sizes, first, count, now)
  local limited_by, retry_after, states = 0, 0, {}
  for i = 1, count do
    local limit, window = tonumber(sizes[first + 2 * i - 2]), sizes[first + 2 * i - 1]
    local tenth = math.floor(window / 10)
    local index = math.floor(now / tenth)
    local counts, used, oldest = read_counts(values[i], index)
    local wait = 0
    if used >= limit then
      -- Oldest first: `rest` counts what remains after this tenth has left the window.
      local rest = used
      for place = oldest, 1, -1 do
        if counts[place] > 0 and rest >= limit then
          wait = (index - place + 11) * tenth - now
        end
        rest = rest - counts[place]
      end
    end
    if wait > retry_after then
      limited_by, retry_after = i, wait
    end
    states[i] = { limit, window, index, counts, used, (index - oldest + 11) * tenth - now }
  end
  return limited_by, retry_after, states
end

-- Append remaining requests and time until the next one returns (ms) of each limit to the reply. Acquire them if `acquired`.
local function write_limits(keys, states, acquired, reply)
  for i, state in ipairs(states) do
    local limit, window, index, counts, used, reset = unpack(state)
    if acquired then
      counts[1], used = counts[1] + 1, used + 1
      redis.call('SET', keys[i], string.format('%d:', index) .. table.concat(counts, ','), 'PX', window)
    end
    reply[#reply + 1] = math.max(0, limit - used)
    reply[#reply + 1] = reset
  end
end
