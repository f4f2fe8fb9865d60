-- Acquire a request for a code: its rate limits, and for an SMS the exposure of its scopes. All of them, or none.
--
-- Uses      ratelimit, exposure
-- KEYS      the rate limits; for an SMS: the sends of its code, the blocks of 1,000 and 10,000 numbers, and, where there is
--           an address: address and network; the solved proof, where there is one; the wide hash of the tenant
-- ARGV      now in ms (0: this server's clock), number of rate limits, allowance of wrong codes (negative: off),
--           limit and window in ms for each rate limit; for an SMS:
--           country, parameters (struct "<16d", below), entry of this send, seconds of the sends, seconds of the proof ("")
-- Returns   {-1} where the wide hash is not loaded; else
--           {acquired 0|1|2, now_ms, proof 0 none|1 redeemed|2 used before|3 not redeemed, guessing 0 no|1 yes|2 just ended,
--           highest load × 1,000,000, limited_by, retry_after_ms, remaining and reset_ms of each limit,
--           states of the scopes: narrow ones as in KEYS, country, exposure budget; after the send where acquired}
--           acquired 2: limits and proof are acquired, and no exposure, because only a known number may get the message
local now = clock(ARGV[1])
local second = now / 1000
local limits, hash = tonumber(ARGV[2]), KEYS[#KEYS]
local at = 4 + 2 * limits
local country = ARGV[at]
local wide = country and redis.call('HMGET', hash, 'loaded', 'guessed', 'guessing', country, 'exposure_budget')
  or redis.call('HMGET', hash, 'loaded', 'guessed', 'guessing')
if not wide[1] then
  return { -1 }
end

local guessing, allowance = 0, tonumber(ARGV[3])
if wide[2] and allowance >= 0 then
  local wrong, right = read_state(wide[3], second, GUESSING_DECAY_S, GUESSING_DECAY_S)
  guessing = 1
  if guessing_load(wrong, right, allowance) < GUESSING_END then
    redis.call('HDEL', hash, 'guessed')
    guessing = 2
  end
end

local values = redis.call('MGET', unpack(KEYS))
local limited_by, retry_after, states = read_limits(values, ARGV, 4, limits, now)
local acquired = limited_by == 0
if not country then
  local reply = { acquired and 1 or 0, now, 0, guessing, 0, limited_by, retry_after }
  write_limits(KEYS, states, acquired, reply)
  return reply
end

-- draws: 1 where the price is not below the floor. weight: of the signals. most: the highest load that is sent.
-- known_divisor: of the loads of blocks where the number turns out to be known; 0: never.
local price, ratio, budget, draws, allowed_1, allowed_2, allowed_3, allowed_4, block_divisor, wide_divisor, weight,
  most, most_wide, proof_most, proof_most_wide, known_divisor = struct.unpack('<dddddddddddddddd', ARGV[at + 1])
local has_proof = ARGV[at + 4] ~= ''
local scopes = #KEYS - limits - (has_proof and 3 or 2)
local sends = limits + 1
local allowances = { allowed_1, allowed_2, allowed_3, allowed_4 }
local after, network_verified, block_load, address_load = {}, 0, 0, 0 -- after: states of the scopes after the send
for i = 1, scopes do
  local is_block = i < 3
  local exposure, verified = read_state(values[sends + i], second, is_block and BLOCK_DECAY_S or ADDRESS_DECAY_S, VERIFIED_DECAY_S)
  exposure, network_verified = exposure + 1, verified
  after[i] = struct.pack('<ddd', exposure, verified, second)
  local quotient = exposure / math.max(allowances[i] + verified, SMALLEST)
  if is_block then
    block_load = math.max(block_load, quotient)
  else
    address_load = math.max(address_load, quotient)
  end
end
local load = math.max(block_load / block_divisor, address_load)

local in_country, verified_there = read_state(wide[4], second, WIDE_DECAY_S, VERIFIED_DECAY_S)
local level, verified_lately = read_state(wide[5], second, WIDE_DECAY_S, VERIFIED_DECAY_S)
in_country = in_country + price
local uncovered = in_country - ratio * verified_there
if draws == 1 then
  level = level + math.max(0, uncovered) - math.max(0, uncovered - price)
end
local wide_load = 0
if uncovered > 0 and wide_divisor > 0 then
  local size = math.max(budget, BUDGET_PART * verified_lately, SMALLEST)
  if scopes == 4 and network_verified >= TRUST_VERIFIED then
    wide_divisor = TRUST_DIVISOR
  end
  wide_load = uncovered / (size * COUNTRY_SHARE * wide_divisor)
  if draws == 1 then
    wide_load = math.max(wide_load, level / (size * wide_divisor))
  end
end

local proof = 0
if has_proof then
  proof = values[#KEYS - 1] and 2 or 3
  if proof == 3 then
    most, most_wide = proof_most, proof_most_wide
  end
end
local may_send = acquired
acquired = may_send and load + weight <= most and wide_load + weight <= most_wide
-- The message may be sent if the number is known. The caller finds that out, and settles the message or releases the limits.
local if_known = may_send and not acquired and known_divisor > 0
  and math.max(block_load / known_divisor, address_load) + weight <= most and weight <= most_wide
if acquired then
  for i = 1, scopes do
    redis.call('SET', KEYS[sends + i], after[i], 'EX', NARROW_LIFE_S)
  end
  after[scopes + 1] = struct.pack('<ddd', in_country, verified_there, second)
  after[scopes + 2] = struct.pack('<ddd', level, verified_lately, second)
  redis.call('HSET', hash, country, after[scopes + 1], 'exposure_budget', after[scopes + 2])
  local earlier = values[sends] or ''
  redis.call('SET', KEYS[sends], (#earlier < MAX_SENDS_BYTES and earlier or '') .. ARGV[at + 2], 'EX', ARGV[at + 3])
end
if proof == 3 and (acquired or if_known) then
  redis.call('SET', KEYS[#KEYS - 1], '1', 'EX', ARGV[at + 4])
  proof = 1
end

local highest = math.min(math.max(load, wide_load), 1000000) * 1000000
local reply = { acquired and 1 or if_known and 2 or 0, now, proof, guessing, highest, limited_by, retry_after }
write_limits(KEYS, states, acquired or if_known, reply)
for i = 1, scopes do
  reply[#reply + 1] = acquired and after[i] or values[sends + i]
end
reply[#reply + 1] = after[scopes + 1] or wide[4]
reply[#reply + 1] = after[scopes + 2] or wide[5]
return reply
