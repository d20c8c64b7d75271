#!lua
-- Begins an epoch, if the log is not this server's own: it was another's, has
-- been started again, or is not there. Or if its stream has something that is
-- not of it, after which nothing can be appended: then it begins without it, for
-- all that matters is in the directory, too.
--
-- KEYS  log
-- ARGV  what begins the names of its keys, the new epoch, the name of the data
--       set if there is none, the format, the entry to make of it, and the epoch
--       whose stream cannot be read or ''
local m = redis.call('HMGET', KEYS[1], 'epoch', 'owner', 'seq', 'set', 'ends', 'format')
local owner = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
  .. string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
local broken = m[1] == ARGV[6]
if m[1] and m[2] == owner and not broken then return 'same' end
if m[6] and m[6] ~= ARGV[4] then return 'format' end
if not m[1] then -- a log without a past
  redis.call('HSET', KEYS[1], 'epoch', ARGV[2], 'owner', owner, 'seq', '0', 'began', '1', 'set', ARGV[3], 'ends', '', 'format', ARGV[4])
  return 'begun'
end
local set = m[4]
local seq = tonumber(m[3])
local ends = m[1] .. '=' .. m[3] .. ' ' .. (m[5] or '')
local kept, n = {}, 0
for e in string.gmatch(ends, '%S+') do
  n = n + 1
  if n <= 16 then kept[n] = e end
end
ends = table.concat(kept, ' ')
local at = string.format('%.0f', seq + 1)
local time = redis.call('TIME')
local ms = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
redis.call('HSET', KEYS[1], 'epoch', ARGV[2], 'owner', owner, 'seq', at, 'began', at, 'set', set, 'ends', ends, 'format', ARGV[4])
local entries = ARGV[1] .. set .. ':entries'
if broken then redis.call('DEL', entries) end
redis.call('XADD', entries, at .. '-0', 'b', ARGV[5], 't', ms)
return 'begun'
