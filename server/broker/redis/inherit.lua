#!lua flags=allow-oom
-- Takes over clients that a dead node has left behind, so many at once at most.
-- Who is looked after by another node that is alive stays there.
--
-- KEYS  log
-- ARGV  prefix, the heir, the dead node, how many, when a node counts as dead (ms)
--
-- Answers the clients taken over; 'over' instead where there are no more, and
-- then the dead node is forgotten.
local P, heir, dead = ARGV[1], ARGV[2], ARGV[3]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local alive = KEYS[1] .. ':alive'
local seen = redis.call('ZSCORE', alive, dead)
if seen and now - tonumber(seen) <= tonumber(ARGV[5]) then return { 'alive' } end
local left = redis.call('ZRANGE', P .. 'held:' .. dead, 0, tonumber(ARGV[4]) - 1)
if #left == 0 then
  redis.call('ZREM', alive, dead)
  redis.call('HDEL', KEYS[1] .. ':nodes', dead)
  redis.call('DEL', P .. 'held:' .. dead)
  -- It may only have stood still, and ask again what was done already.
  redis.call('PEXPIRE', P .. 'lanes:' .. dead, 86400000)
  return { 'over' }
end
local others = {}
for _, n in ipairs(redis.call('ZRANGEBYSCORE', alive, now - tonumber(ARGV[5]), '+inf')) do
  if n ~= dead then others[#others + 1] = n end
end
local out = { 'some' }
for _, id in ipairs(left) do
  redis.call('ZREM', P .. 'held:' .. dead, id)
  local elsewhere = false
  for _, n in ipairs(others) do
    elsewhere = elsewhere or redis.call('ZSCORE', P .. 'held:' .. n, id)
  end
  local has = redis.call('HMGET', P .. 'c:' .. id, 'v', 'g')
  if not elsewhere and has[1] and not has[2] then
    redis.call('ZADD', P .. 'held:' .. heir, now, id)
    out[#out + 1] = id
  end
end
return out
