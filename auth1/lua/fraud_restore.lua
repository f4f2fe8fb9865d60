-- Restore states that PostgreSQL has and Redis lost: only those that are absent. The last call of a tenant loads its hash.
--
-- KEYS      narrow scopes; the wide hash of the tenant
-- ARGV      seconds of the wide hash (0: more calls follow), states of the narrow scopes in the order of KEYS,
--           then field and state for each field of the hash
-- Returns   the number of states that were absent
local hash, restored = KEYS[#KEYS], 0
for i = 1, #KEYS - 1 do
  if redis.call('SET', KEYS[i], ARGV[i + 1], 'NX', 'EX', NARROW_LIFE_S) then
    restored = restored + 1
  end
end
for i = #KEYS + 1, #ARGV, 2 do
  restored = restored + redis.call('HSETNX', hash, ARGV[i], ARGV[i + 1])
end
if tonumber(ARGV[1]) > 0 then
  redis.call('HSET', hash, 'loaded', '1')
  redis.call('EXPIRE', hash, ARGV[1])
end
return restored
