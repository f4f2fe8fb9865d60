-- Settle messages of one identifier: verified, taken back, or sent without Redis. And codes of the tenant: right, wrong.
--
-- Uses      exposure
-- KEYS      narrow scopes, each once; the sends of the code, where an entry is removed; the wide hash of the tenant
-- ARGV      now in ms (0: this server's clock), allowance of wrong codes, right codes, wrong codes,
--           entry of a send to remove (""), country (""), its parameters (struct "<4d": ratio, whether messages drew on the
--           exposure budget, dollars removed, dollars verified), then for each narrow scope
--           messages removed, messages verified and time constant (struct "<3d"). Removed: negative where they were sent
-- Returns   {-1} where the wide hash is not loaded; else {guessing 0 unchanged|1 began|2 ended,
--           states afterwards: wrong codes, country, exposure budget, narrow scopes as in KEYS}
local now = clock(ARGV[1])
local second = now / 1000
local hash, country = KEYS[#KEYS], ARGV[6]
local wide = redis.call('HMGET', hash, 'loaded', 'guessed', 'guessing', country, 'exposure_budget')
if not wide[1] then
  return { -1 }
end

local reply = { 0, wide[3], wide[4], wide[5] }
local right, wrong, allowance = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[2])
if right > 0 or wrong > 0 then
  local wrongs, rights = read_state(wide[3], second, GUESSING_DECAY_S, GUESSING_DECAY_S)
  wrongs, rights = wrongs + wrong, rights + right
  reply[2] = struct.pack('<ddd', wrongs, rights, second)
  redis.call('HSET', hash, 'guessing', reply[2])
  local load = allowance >= 0 and guessing_load(wrongs, rights, allowance) or 0
  if load > 1 and not wide[2] then
    redis.call('HSET', hash, 'guessed', '1')
    reply[1] = 1
  elseif load < GUESSING_END and wide[2] then
    redis.call('HDEL', hash, 'guessed')
    reply[1] = 2
  end
end

if country ~= '' then
  local ratio, draws, removed, verified = struct.unpack('<dddd', ARGV[7])
  local before, verified_before = read_state(wide[4], second, WIDE_DECAY_S, VERIFIED_DECAY_S)
  local level, verified_lately = read_state(wide[5], second, WIDE_DECAY_S, VERIFIED_DECAY_S)
  local after, verified_after = math.max(0, before - removed), verified_before + verified
  if draws == 1 then
    local returned = math.max(0, before - ratio * verified_before) - math.max(0, after - ratio * verified_after)
    level = math.max(0, level - returned)
  end
  reply[3] = struct.pack('<ddd', after, verified_after, second)
  reply[4] = struct.pack('<ddd', level, verified_lately + verified, second)
  redis.call('HSET', hash, country, reply[3], 'exposure_budget', reply[4])
end

local scopes = #ARGV - 7
local values = scopes > 0 and redis.call('MGET', unpack(KEYS, 1, scopes)) or {}
for i = 1, scopes do
  local removed, verified, decay_s = struct.unpack('<ddd', ARGV[7 + i])
  local exposure, verified_before = read_state(values[i], second, decay_s, VERIFIED_DECAY_S)
  reply[4 + i] = struct.pack('<ddd', math.max(0, exposure - removed), verified_before + verified, second)
  redis.call('SET', KEYS[i], reply[4 + i], 'EX', NARROW_LIFE_S)
end

local entry = ARGV[5]
if entry ~= '' then
  local sends = redis.call('GET', KEYS[#KEYS - 1])
  local first, last = string.find(sends or '', entry, 1, true)
  if first then
    redis.call('SET', KEYS[#KEYS - 1], string.sub(sends, 1, first - 1) .. string.sub(sends, last + 1), 'KEEPTTL')
  end
end
return reply
