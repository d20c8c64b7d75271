#!lua flags=allow-oom
-- Says where the log is.
--
-- KEYS  log
-- Answers epoch, whether it is this server's own, seq, the seq with which the
-- epoch began, the data set, the ends of former epochs, the format, and the time
-- in ms; only the time, where there is no log.
local m = redis.call('HMGET', KEYS[1], 'epoch', 'owner', 'seq', 'began', 'set', 'ends', 'format')
local time = redis.call('TIME')
local ms = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
if not m[1] then return { ms } end
local owner = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
  .. string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
return { ms, m[1], m[2] == owner and '1' or '0', m[3], m[4], m[5], m[6] or '', m[7] }
