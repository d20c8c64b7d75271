#!lua flags=allow-oom
-- Takes over live clients that no node looks after: what Redis has lost with a
-- failover may have been who does.
--
-- KEYS  log
-- ARGV  prefix, the heir, when a node counts as dead (ms), and the clients
--
-- Answers those taken over.
local P, heir = ARGV[1], ARGV[2]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local nodes = redis.call('ZRANGEBYSCORE', KEYS[1] .. ':alive', now - tonumber(ARGV[3]), '+inf')
local out = {}
for i = 4, #ARGV do
  local id = ARGV[i]
  local has = redis.call('HMGET', P .. 'c:' .. id, 'v', 'g')
  local held = not has[1] or has[2]
  for _, n in ipairs(nodes) do
    held = held or redis.call('ZSCORE', P .. 'held:' .. n, id)
  end
  if not held then
    redis.call('ZADD', P .. 'held:' .. heir, now, id)
    out[#out + 1] = id
  end
end
return out
