-- Settle messages of a tenant: verified, taken back, forgiven, or sent without Redis. And count right and wrong codes.
--
-- Uses      exposure
-- KEYS      for each settlement: the sends of its code, the blocks of 1,000 and 10,000 numbers or none, address and network
--           or none; then the wide hash of the tenant
-- ARGV      now in ms (0: this server's clock), allowance of wrong codes (negative: off), right codes, wrong codes,
--           then for each settlement: country (""), entry of its message, parameters (struct "<9d": keys of blocks, keys of
--           addresses, kind, messages and dollars removed, price, ratio, price floor, seconds of the sends)
--           kind 0: messages are removed. 1: all sends of the code are removed, and one is verified. 2: one message and its
--           entry are removed. 3: the newest message of the code and its entry are removed. 4: a message and its entry are added
-- Returns   {-1} where the wide hash is not loaded; else {guessing 0 unchanged|1 began|2 ended, state of wrong codes,
--           state of the exposure budget, {country, state, …}, {for each settlement: sends from other addresses,
--           number of sends from its own, states of its blocks}}
local now = clock(ARGV[1])
local second = now / 1000
local hash = KEYS[#KEYS]
local fields, place = { 'loaded', 'guessed', 'guessing', 'exposure_budget' }, {}
for i = 5, #ARGV, 3 do
  if ARGV[i] ~= '' and not place[ARGV[i]] then
    fields[#fields + 1] = ARGV[i]
    place[ARGV[i]] = #fields
  end
end
local wide = redis.call('HMGET', hash, unpack(fields))
if not wide[1] then
  return { -1 }
end
local written = {}

local change, guessing = 0, wide[3]
local right, wrong, allowance = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[2])
if right > 0 or wrong > 0 then
  local wrongs, rights = read_state(guessing, second, GUESSING_DECAY_S, GUESSING_DECAY_S)
  wrongs, rights = wrongs + wrong, rights + right
  guessing = struct.pack('<ddd', wrongs, rights, second)
  written = { 'guessing', guessing }
  local load = allowance >= 0 and guessing_load(wrongs, rights, allowance) or 0
  if load > 1 and not wide[2] then
    written[3], written[4] = 'guessed', '1'
    change = 1
  elseif load < GUESSING_END and wide[2] then
    redis.call('HDEL', hash, 'guessed')
    change = 2
  end
end

local values, narrow, sends, lives = {}, {}, {}, {}
if #KEYS > 1 then
  for i, value in ipairs(redis.call('MGET', unpack(KEYS, 1, #KEYS - 1))) do
    values[KEYS[i]] = value
  end
end
local countries, touched, level, verified_lately = {}, {}, nil, nil
local replies, at = {}, 1

local function settle(key, removed, verified, decay_s)
  local state = narrow[key]
  if not state then
    state = { read_state(values[key], second, decay_s, VERIFIED_DECAY_S) }
    narrow[key] = state
  end
  state[1], state[2] = math.max(0, state[1] - removed), state[2] + verified
end

for i = 5, #ARGV, 3 do
  local country, entry = ARGV[i], ARGV[i + 1]
  local blocks, addresses, kind, messages, dollars, price, ratio, floor, life_s = struct.unpack('<ddddddddd', ARGV[i + 2])
  local key = KEYS[at]
  local stored = sends[key] or values[key] or ''
  local here, verified, others = messages, 0, ''
  if kind == 1 then
    verified = 1
    local count, total, own = 0, 0, 0
    if stored == entry then -- as nearly always: one message, from this address
      count, total, own, stored = 1, dollars, 1, ''
    end
    local from = string.match(entry, '^%S+ %S+ ')
    for who, amount in string.gmatch(stored, '(%S+ %S+ )(%S+)\n') do
      local paid = tonumber(amount)
      if paid and paid >= 0 and paid < 1000 then
        count, total, price = count + 1, total + paid, paid
        if who == from then
          own = own + 1
        else
          others = others .. who .. amount .. '\n'
        end
      end
    end
    if count > 0 then
      messages, dollars, here = count, total, own
    end
    sends[key] = ''
  elseif kind == 2 then
    local first, last = string.find(stored, entry, 1, true)
    if first then
      sends[key] = string.sub(stored, 1, first - 1) .. string.sub(stored, last + 1)
    end
  elseif kind == 3 then
    local first = string.find(stored, '[^\n]*\n$')
    local paid = first and tonumber(string.match(stored, '(%S+)\n$'))
    if paid and paid >= 0 and paid < 1000 then
      others, dollars, price = string.sub(stored, first), paid, paid
      sends[key] = string.sub(stored, 1, first - 1)
    end
  elseif kind == 4 then
    sends[key] = (#stored < MAX_SENDS_BYTES and stored or '') .. entry
    lives[key] = string.format('%d', life_s)
  end
  replies[#replies + 1] = others
  replies[#replies + 1] = here
  for n = 1, blocks do
    settle(KEYS[at + n], messages, verified, BLOCK_DECAY_S)
    replies[#replies + 1] = KEYS[at + n]
  end
  for n = blocks + 1, blocks + addresses do
    settle(KEYS[at + n], here, verified, ADDRESS_DECAY_S)
  end
  at = at + 1 + blocks + addresses

  if country ~= '' then
    if not level then
      level, verified_lately = read_state(wide[4], second, WIDE_DECAY_S, VERIFIED_DECAY_S)
    end
    local state = countries[country]
    if not state then
      state = { read_state(wide[place[country]], second, WIDE_DECAY_S, VERIFIED_DECAY_S) }
      countries[country], touched[#touched + 1] = state, country
    end
    local after, verified_after = math.max(0, state[1] - dollars), state[2] + verified * price
    if price >= floor then
      local returned = math.max(0, state[1] - ratio * state[2]) - math.max(0, after - ratio * verified_after)
      level = math.max(0, level - returned)
    end
    state[1], state[2], verified_lately = after, verified_after, verified_lately + verified * price
  end
end

for key, state in pairs(narrow) do
  narrow[key] = struct.pack('<ddd', state[1], state[2], second)
  redis.call('SET', key, narrow[key], 'EX', NARROW_LIFE_S)
end
for i, reply in ipairs(replies) do
  replies[i] = narrow[reply] or reply
end
local ended = {}
for key, left in pairs(sends) do
  if left == '' then
    ended[#ended + 1] = key
  elseif lives[key] then
    redis.call('SET', key, left, 'EX', lives[key])
  else
    redis.call('SET', key, left, 'KEEPTTL')
  end
end
if #ended > 0 then
  redis.call('DEL', unpack(ended))
end
local states, budget = {}, wide[4]
for i, country in ipairs(touched) do
  states[2 * i - 1] = country
  states[2 * i] = struct.pack('<ddd', countries[country][1], countries[country][2], second)
  written[#written + 1], written[#written + 2] = country, states[2 * i]
end
if level then
  budget = struct.pack('<ddd', level, verified_lately, second)
  written[#written + 1], written[#written + 2] = 'exposure_budget', budget
end
if #written > 0 then
  redis.call('HSET', hash, unpack(written))
end
return { change, guessing, budget, states, replies }
