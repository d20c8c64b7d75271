#!lua
-- Numbers commands and makes them entries of the log: each as a whole, or not
-- at all. What a command rests on is compared first; so the log never has an
-- entry that does not follow from those before it.
--
-- KEYS  log
-- ARGV  prefix, epoch, node, lane, batch, when a node counts as dead (ms),
--       the seq that the log is trimmed to or '', and for each command:
--       numbers, entry, how many grounds, kind name value each,
--       how many arguments make up its writes, and these
--
-- Answers 'epoch' where the log is another's, 'done' where this batch has come
-- before, or for each command: '+seq' it is an entry, '!' something it rests on
-- has changed, '=where' this publish id was used before, '@ids' these clients
-- are looked after by others, 'g' it is not done: nobody is let go now, or
-- somebody reads for the socket elsewhere.
local P, node = ARGV[1], ARGV[3]
local meta = redis.call('HMGET', KEYS[1], 'epoch', 'owner', 'seq', 'grace')
local info = redis.call('INFO', 'server')
local owner = string.match(info, 'run_id:(%x+)')
info = redis.call('INFO', 'replication')
owner = owner .. string.match(info, 'master_replid:(%x+)')
if meta[1] ~= ARGV[2] or meta[2] ~= owner then
  return { 'epoch' }
end
local lanes = P .. 'lanes:' .. node
if tonumber(ARGV[5]) <= tonumber(redis.call('HGET', lanes, ARGV[4]) or '0') then
  return { 'done' }
end
redis.call('HSET', lanes, ARGV[4], ARGV[5])

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function text(n) return string.format('%.0f', n) end
local ms = text(now)
local seq = tonumber(meta[3])
if not seq or seq < 0 or seq >= 2 ^ 53 or seq % 1 ~= 0 then
  return { 'epoch' } -- somebody has written that; who looks where the log is says so
end
local ids, begun, joined = P .. 'ids', P .. 'channels', P .. 'joined'
local held = P .. 'held:' .. node
local number -- the next one of the command under way
local last -- its last
local places -- of its messages
local entry -- its bytes

-- What is known of channels, and is written once for all commands.
local known, order = {}, {}
local function about(channel)
  local c = known[channel]
  if not c then
    local id, said = string.match(redis.call('HGET', ids, channel) or '0:0', '(%d+):(%d+)')
    c = { id = tonumber(id), said = said, begun = redis.call('HGET', begun, channel) or '0' }
    known[channel] = c
    order[#order + 1] = channel
  end
  return c
end

-- bump gives the channel's next id.
local function bump(channel)
  local c = about(channel)
  c.id = c.id + 1
  c.changed = true
  return text(c.id)
end

local function writeBack()
  redis.call('HSET', KEYS[1], 'seq', text(seq))
  for _, channel in ipairs(order) do
    local c = known[channel]
    if c.changed then redis.call('HSET', ids, channel, text(c.id) .. ':' .. c.said) end
    if c.oldest then
      local key = P .. 'm:' .. channel
      if c.oldest ~= '0' then redis.call('XTRIM', key, 'MINID', c.oldest) end
      redis.call('PEXPIRE', key, c.keep)
    end
  end
end

local others
local function heldElsewhere(client)
  if not others then
    others = {}
    for _, n in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1] .. ':alive', now - tonumber(ARGV[6]), '+inf')) do
      if n ~= node then others[#others + 1] = P .. 'held:' .. n end
    end
  end
  local found
  for _, key in ipairs(others) do
    local score = redis.call('ZSCORE', key, client)
    if score == 'inf' then return score end
    found = score or found
  end
  return found
end

local function client(id) return P .. 'c:' .. id end

-- What makes a ground hold, by its kind. Answers nil if it does.
local grounds = {
  c = function(name, v)
    if (redis.call('HGET', client(name), 'v') or '0') ~= v then return '!' end
  end,
  h = function(name, v)
    if about(name).begun ~= v then return '!' end
  end,
  i = function(name, v)
    if (redis.call('HGET', joined, name) or '0') .. ':' .. text(about(name).id) ~= v then return '!' end
  end,
  t = function(name, v)
    local has = redis.call('HMGET', client(name), 'v', 'u')
    if not has[1] or v ~= '' and (has[2] or '0') ~= v then return '!' end
  end,
  p = function(name)
    local where = redis.call('GET', P .. 'id:' .. name)
    if where then return '=' .. where end
  end,
}
function grounds.f(name) -- a socket is read for by nobody else
  if heldElsewhere(name) == 'inf' then return 'g' end
end
function grounds.l(name) -- a client is looked after by nobody else
  if now < tonumber(meta[4] or '0') then return 'g' end
  if heldElsewhere(name) then return '@' end
end

-- A turn is a membership's beginning or end, and takes a number.
local function turn(channel, told)
  local at = number
  number = number + 1
  if told == '1' then bump(channel) end
  return text(at)
end

local function alive(id, key)
  redis.call('ZADD', held, ms, id)
  redis.call('HSET', key, 't', ms)
end

-- The writes, by their names: how many arguments, and what they do.
local writes = {
  C = { 2, function(name, quiet) -- a channel begins
    local at = text(number)
    number = number + 1
    redis.call('HSET', begun, name, at)
    about(name).begun = at
    if quiet ~= '1' then bump('admin') end
  end },
  J = { 3, function(id, channel, told) -- a client joins
    local sinceID = text(about(channel).id)
    local since = text(number - 1)
    local at = turn(channel, told)
    redis.call('HSET', client(id), 's:' .. channel, since .. ':' .. sinceID .. ':' .. ms, 'h', at, 'v', last)
    redis.call('HSET', joined, channel, at)
  end },
  P = { 3, function(id, channel, told) -- a client leaves
    local at = turn(channel, told)
    redis.call('HDEL', client(id), 's:' .. channel)
    redis.call('HSET', client(id), 'h', at, 'l', at, 'v', last)
  end },
  Q = { 2, function(id, channel) redis.call('HDEL', client(id), 's:' .. channel) end }, -- it had ended with the channel
  A = { 3, function(id, channel, told) turn(channel, told) end }, -- a client is away
  B = { 3, function(id, channel, told) -- and back
    redis.call('HSET', joined, channel, turn(channel, told))
  end },
  M = { 6, function(channel, from, to, volatile, oldest, keep) -- a message, part of the entry
    local at = text(number)
    number = number + 1
    local c = about(channel)
    if volatile == '1' then
      places[#places + 1] = at .. ':' .. text(c.id)
      return
    end
    local id = bump(channel)
    places[#places + 1] = at .. ':' .. id
    redis.call('XADD', P .. 'm:' .. channel, at .. '-0', 'b', string.sub(entry, from, to), 'i', id, 't', ms, 'p', c.said)
    c.said, c.oldest, c.keep = at, oldest, keep
  end },
  N = { 4, function(id, key, socket, owner) -- a client begins
    local c = client(id)
    redis.call('HSET', c, 'k', key, 'h', text(number), 'b', text(number), 'v', last)
    if socket == '1' then
      redis.call('HSET', c, 'z', '1', 'o', owner, 'ob', redis.call('HGET', client(owner), 'b') or '0')
    end
    redis.call('SADD', P .. 'clients', id)
    alive(id, c)
  end },
  D = { 1, function(id) -- a client ends
    redis.call('DEL', client(id))
    redis.call('SREM', P .. 'clients', id)
    redis.call('ZREM', held, id)
  end },
  G = { 1, function(id) -- a client is let go
    redis.call('HSET', client(id), 'g', '1', 't', ms, 'v', last)
    redis.call('ZREM', held, id)
  end },
  V = { 1, function(id) -- a client is revived
    local c = client(id)
    redis.call('HDEL', c, 'g')
    redis.call('HSET', c, 'v', last)
    alive(id, c)
  end },
  K = { 2, function(id, key) redis.call('HSET', client(id), 'k', key, 'v', last) end },
  X = { 2, function(id, data) redis.call('HSET', client(id), 'd', data, 'v', last) end },
  U = { 2, function(id, upTo) redis.call('HSET', client(id), 'u', upTo) end },
  W = { 2, function(id, upTo)
    if tonumber(redis.call('HGET', client(id), 'u') or '0') > tonumber(upTo) then
      redis.call('HSET', client(id), 'u', upTo)
    end
  end },
  R = { 1, function(channel) -- a channel ends
    local c = about(channel)
    c.id, c.said, c.begun, c.changed, c.oldest = 0, '0', '0', false, nil
    redis.call('HDEL', begun, channel)
    redis.call('HDEL', ids, channel)
    redis.call('HDEL', joined, channel)
    redis.call('DEL', P .. 'm:' .. channel)
  end },
  S = { 2, function(pattern, ns)
    if ns == '' then redis.call('HDEL', P .. 'namespaces', pattern)
    else redis.call('HSET', P .. 'namespaces', pattern, ns) end
  end },
  Y = { 3, function(name, hash, keep) -- a publish id is used
    redis.call('SET', P .. 'id:' .. name, hash .. ' ' .. ARGV[2] .. ' ' .. table.concat(places, ' '), 'PX', keep)
  end },
}

local out = {}
local function run()
  local i = 8
  while i <= #ARGV do
    local n, blob, count = tonumber(ARGV[i]), ARGV[i + 1], tonumber(ARGV[i + 2])
    i = i + 3
    local no
    local elsewhere = {} -- all of them, so that the rest can go
    for _ = 1, count do
      if not no or no == '@' then
        local fails = grounds[ARGV[i]](ARGV[i + 1], ARGV[i + 2])
        if fails == '@' then elsewhere[#elsewhere + 1] = ARGV[i + 1] end
        no = fails or no
      end
      i = i + 3
    end
    if no == '@' then
      for _, name in ipairs(elsewhere) do redis.call('ZREM', held, name) end
      no = '@' .. table.concat(elsewhere, '\n')
    end
    local stop = i + 1 + tonumber(ARGV[i])
    i = i + 1
    if no then
      i = stop
      out[#out + 1] = no
    else
      entry, places, number = blob, {}, seq + 1
      seq = seq + n
      last = text(seq)
      redis.call('XADD', P .. 'entries', last .. '-0', 'b', blob, 't', ms)
      while i < stop do
        local w = writes[ARGV[i]]
        w[2](unpack(ARGV, i + 1, i + w[1]))
        i = i + 1 + w[1]
      end
      out[#out + 1] = '+' .. last
    end
  end
end
local well, failure = pcall(run)
writeBack() -- also of half a batch: the log's top is where its last entry is
if not well then
  return redis.error_reply(type(failure) == 'table' and failure.err or tostring(failure))
end
if ARGV[7] ~= '' then
  redis.call('XTRIM', P .. 'entries', 'MINID', '~', ARGV[7])
end
return out
