-- Which results go before their time, and what is forgotten of those that are gone. Expects stored.lua.
--
-- P:evicted           how many were evicted, and when the last one was, for a day

local EVICTED = P .. ':evicted'
local DAY = 86400000
local SLACK = 1000    -- ms by which a result and its entry may differ
local LOOK = 20       -- the first of each class among which the oldest are looked for, at a time
local LOOKS = 25      -- such looks of one script: the rest follows with the next
local SWEPT = 1000    -- entries of a class that a script takes away that looks only now and then
local MANY = 10000    -- entries of a class that are added up at once

local function result_of(key)
  return P .. ':results:' .. key
end

-- Whether the result of a key is the one that goes at this moment.
local function is_there(key, goes)
  local left = redis.call('PTTL', result_of(key))
  return left >= 0 and math.abs(own_milliseconds() + left - goes) <= SLACK
end

-- The oldest of those that can be evicted, the oldest first, until they count so many bytes.
local function oldest_of(classes, bytes)
  local found, taken = {}, {}
  for _, class in ipairs(classes) do
    local page = class ~= stored.KEPT
      and redis.call('ZRANGE', stored.index_of(class), '0', integer(LOOK - 1), 'WITHSCORES') or {}
    for at = 1, #page, 2 do
      local key, counted = stored.parsed(page[at])
      local goes = tonumber(page[at + 1])
      found[#found + 1] = {
        class = class, member = page[at], key = key, bytes = counted, goes = goes, at = goes - (tonumber(class) or 0),
        place = #found}
    end
  end
  table.sort(found, function(one, other)
    if one.at ~= other.at then return one.at < other.at end
    return one.place < other.place
  end)
  -- What follows LOOK of them may be younger than what was not looked at.
  for at = 1, math.min(#found, LOOK) do
    if bytes <= 0 then break end
    taken[at] = found[at]
    bytes = bytes - found[at].bytes
  end
  return taken
end

-- Whoever waits for the end of an execution listens to its events until the result has been read.
local function listeners_of(entries)
  local channels, listeners = {}, {}
  for at, one in ipairs(entries) do channels[at] = P .. ':state:' .. (one.key or '') end
  local plain = redis.call('PUBSUB', 'NUMSUB', unpack(channels))
  local has_shards = string.sub(P, 1, 1) == '{' and redis.REDIS_VERSION_NUM
  local sharded = has_shards and redis.call('PUBSUB', 'SHARDNUMSUB', unpack(channels))
  for at = 1, #entries do listeners[at] = plain[2 * at] + (sharded and sharded[2 * at] or 0) end
  return listeners
end

-- The record says that its result was evicted: nobody takes it for one that never was.
local function evict(key)
  redis.call('DEL', result_of(key))
  local state = redis.pcall('HGET', run_of(key), 'state')
  if state == 'completed' or state == 'failed' then redis.call('HSET', run_of(key), 'evicted', '1') end
end

-- Takes one entry away, and its result if that is there and nobody waits for it. One that somebody waits for stays until
-- its time is over: so each look gets on, however many those are. Returns the bytes that no longer count, and whether
-- a result was evicted.
local function take_away(one, listeners)
  redis.call('ZREM', stored.index_of(one.class), one.member)
  if not one.key or not is_there(one.key, one.goes) then return one.bytes, false end
  if listeners > 0 then
    local kept = stored.index_of(stored.KEPT)
    if redis.call('ZADD', kept, integer(one.goes), one.member) == 1 then stored.change(stored.KEPT, one.bytes) end
    return 0, false
  end
  evict(one.key)
  return one.bytes, true
end

-- Takes the oldest away until so many bytes are free; returns how many results were evicted.
local function take_oldest_away(classes, bytes)
  local evicted = 0
  for _ = 1, LOOKS do
    local entries = bytes > 0 and oldest_of(classes, bytes) or {}
    if #entries == 0 then break end
    local listeners, less = listeners_of(entries), {}
    for at, one in ipairs(entries) do
      local freed, is_evicted = take_away(one, listeners[at])
      bytes = bytes - freed
      less[one.class] = (less[one.class] or 0) - one.bytes
      if is_evicted then evicted = evicted + 1 end
    end
    for class, by in pairs(less) do stored.change(class, by) end
  end
  return evicted
end

-- What is counted in a class that has nothing in it is an error: it ends here, and nothing is evicted for it.
local function miscounted(classes)
  local bytes = 0
  for _, class in ipairs(classes) do
    if redis.call('EXISTS', stored.index_of(class)) == 0 then
      bytes = bytes + tonumber(redis.call('HGET', stored.STORED, class) or 0)
      redis.call('HDEL', stored.STORED, class)
    end
  end
  return bytes
end

-- Evicts what is beyond the limit, as far as one script does; returns how many results that were.
local function make_room(classes, total, limit)
  local evicted = take_oldest_away(classes, total - miscounted(classes) - limit)
  if evicted > 0 then
    redis.call('HINCRBY', EVICTED, 'count', integer(evicted))
    redis.call('HSET', EVICTED, 'at', integer(own_milliseconds()))
    redis.call('PEXPIRE', EVICTED, integer(DAY))
  end
  return evicted
end

-- Takes one entry of a class away; tells whether it was there.
local function drop(class, member)
  if redis.call('ZREM', stored.index_of(class), member) == 0 then return false end
  local _, bytes = stored.parsed(member)
  stored.change(class, -bytes)
  return true
end

-- Forgets the entry of a result that is about to be deleted.
local function forget(key)
  local size = redis.call('STRLEN', result_of(key))
  if size == 0 then return end
  for _, class in ipairs(redis.call('HKEYS', stored.STORED)) do
    if drop(class, integer(size) .. ':' .. key) then return end
  end
end

-- Called now and then, also where nothing is stored any more: what has ended by itself leaves nothing.
local function sweep()
  stored.drop_all_passed(SWEPT)
end

-- For whoever compares all of it.

local function is_elsewhere(key)
  return string.byte(redis.call('GETRANGE', result_of(key), '0', '0')) == stored.POINTER
end

local function is_counted(key, size)
  for _, class in ipairs(redis.call('HKEYS', stored.STORED)) do
    if redis.call('ZSCORE', stored.index_of(class), integer(size) .. ':' .. key) then return true end
  end
  return false
end

-- The bytes that the entries of a class count; nil if these are too many for one script.
local function sum_of(class)
  if redis.call('ZCARD', stored.index_of(class)) > MANY then return nil end
  local total = 0
  for _, member in ipairs(redis.call('ZRANGE', stored.index_of(class), '0', '-1')) do
    local _, bytes = stored.parsed(member)
    total = total + bytes
  end
  return total
end

-- Counts a result that is in no class: how long it is kept follows from when its run has ended.
local function count_again(key, completed, options)
  local size, left = redis.call('STRLEN', result_of(key)), redis.call('PTTL', result_of(key))
  local kept = math.floor((own_milliseconds() + left - tonumber(completed) + SLACK / 2) / SLACK) * SLACK
  local is_once = options and string.find(options, '"once":', 1, true)
  local class, member = is_once and stored.KEPT or integer(kept), integer(size) .. ':' .. key
  local _, bytes = stored.parsed(member)
  if redis.call('ZADD', stored.index_of(class), integer(own_milliseconds() + left), member) == 1 then stored.change(class, bytes)
  elseif redis.call('HEXISTS', stored.STORED, class) == 0 then
    redis.call('HSET', stored.STORED, class, integer(sum_of(class) or bytes))
  end
end
