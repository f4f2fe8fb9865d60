-- Exposures, for the scripts that read and write them. `fraud/scopes.py` does the same arithmetic.
--
-- A state is 24 bytes: exposure, verified amount, and the second of both, as little-endian doubles (struct "<ddd").

-- Return exposure and verified amount at `now`, in seconds. A missing state and garbage are empty.
local function read_state(value, now, decay_s, verified_decay_s)
  if not value or #value ~= 24 then
    return 0, 0
  end
  local exposure, verified, second = struct.unpack('<ddd', value)
  if not (exposure >= 0 and exposure <= LARGEST and verified >= 0 and verified <= LARGEST and second >= 0) then
    return 0, 0
  end
  local age = now - second
  if age <= 0 then -- after a failover the clock may have gone back
    return exposure, verified
  end
  return exposure * math.exp(-age / decay_s), verified * math.exp(-age / verified_decay_s)
end

-- Return the load of the tenant's wrong codes.
local function guessing_load(wrong, right, allowance)
  return wrong / math.max(allowance + GUESSING_PART * right, SMALLEST)
end

-- Return the argument `now` in ms, or the server's clock where it is 0.
local function clock(argument)
  local now = tonumber(argument)
  if now > 0 then
    return now
  end
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
