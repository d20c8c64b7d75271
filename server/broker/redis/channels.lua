#!lua flags=no-writes,allow-oom
-- Reads channels with what they keep, as of one moment.
--
-- KEYS  log
-- ARGV  prefix, names
-- Answers the seq of that moment, and for each channel the seq with which it
-- began, its ids, the seq of who joined it last, and its messages.
local P = ARGV[1]
local out = { redis.call('HGET', KEYS[1], 'seq') }
for i = 2, #ARGV do
  local name = ARGV[i]
  out[#out + 1] = redis.call('HGET', P .. 'channels', name) or ''
  out[#out + 1] = redis.call('HGET', P .. 'ids', name) or '0:0'
  out[#out + 1] = redis.call('HGET', P .. 'joined', name) or '0'
  out[#out + 1] = redis.call('XRANGE', P .. 'm:' .. name, '-', '+')
end
return out
