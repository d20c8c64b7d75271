#!lua flags=allow-oom
-- Says that a node is alive, and hears who else is.
--
-- KEYS  log
-- ARGV  node, what it says of itself, a secret to use if there is none, how long
--       all may have been silent (ms), and for how long nobody is let go then
--
-- Answers the secret, whether the node was thought dead, and for each node its
-- name, the ms since it was heard of, and what it says of itself.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local alive, nodes, secret = KEYS[1] .. ':alive', KEYS[1] .. ':nodes', KEYS[1] .. ':secret'
local last = redis.call('HGET', KEYS[1], 'beat')
if last then
  if now - tonumber(last) > tonumber(ARGV[4]) then
    redis.call('HSET', KEYS[1], 'grace', string.format('%.0f', now + tonumber(ARGV[5])))
  end
  redis.call('HSET', KEYS[1], 'beat', string.format('%.0f', now))
elseif redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('HSET', KEYS[1], 'beat', string.format('%.0f', now))
end
local known = redis.call('ZSCORE', alive, ARGV[1])
redis.call('ZADD', alive, now, ARGV[1])
redis.call('HSET', nodes, ARGV[1], ARGV[2])
redis.call('SET', secret, ARGV[3], 'NX')
local out = { redis.call('GET', secret), known and '1' or '0' }
local all = redis.call('ZRANGE', alive, 0, -1, 'WITHSCORES')
for i = 1, #all, 2 do
  out[#out + 1] = all[i]
  out[#out + 1] = string.format('%.0f', now - tonumber(all[i + 1]))
  out[#out + 1] = redis.call('HGET', nodes, all[i]) or '{}'
end
return out
