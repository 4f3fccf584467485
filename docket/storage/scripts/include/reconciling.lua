-- Schedules in force. Expects runs.lua and naming.lua.
--
-- What a file declares stands in P:schedules; what has happened, in P:schedule:<id> (name, created, last, key, runs,
-- failures, brake, stopped, pause, skip, and skipped:<reason>), P:outcomes:<id> and P:ran:<id>. The latter outlive the
-- schedule for a while, so that one that comes back goes on where it was.
--
-- A commit is in force when its record is; its schedules follow in slices. What is to follow is staged in
-- P:staged:<owner>:<token>, and P:staging:<owner> says how far that is. `of:<id>` is the token with which a schedule
-- was declared last: so each one is brought over once, in whatever order, and by whoever comes first.

local TOMBSTONE = 7 * 24 * 3600 * 1000   -- ms

local function memories_of(inner)
  return {P .. ':schedule:' .. inner, P .. ':outcomes:' .. inner, P .. ':ran:' .. inner}
end

-- What a former name has left; not if the new one has a past of its own, or the former one stays.
local function take_over(id, former, token)
  if redis.call('HGET', SCHEDULES, 'of:' .. former) == token then return end
  local theirs, ours = inner_name(former), inner_name(id)
  local state = P .. ':schedule:' .. theirs
  if not belongs(former, theirs) or redis.call('EXISTS', state) == 0 then return end
  if belongs(id, ours) and redis.call('EXISTS', P .. ':schedule:' .. ours) == 1 then return end
  redis.call('HSET', state, 'name', id)
  redis.call('HDEL', SCHEDULES, 'alias:' .. former)
  if theirs == id then redis.call('HDEL', SCHEDULES, 'alias:' .. id)
  else redis.call('HSET', SCHEDULES, 'alias:' .. id, theirs)
  end
  for _, field in ipairs({'timing:', 'next:'}) do
    local value = redis.call('HGET', SCHEDULES, field .. former)
    if value then redis.call('HSETNX', SCHEDULES, field .. id, value) end
    -- Whoever is declared under the former name from now on begins anew.
    redis.call('HDEL', SCHEDULES, field .. former)
  end
end

-- The inner name of a schedule, another one if its own is taken by one that was renamed.
local function settled_name(id, token)
  local inner = inner_name(id)
  if belongs(id, inner) then return inner end
  inner = id .. '#' .. token
  redis.call('HSET', SCHEDULES, 'alias:' .. id, inner)
  return inner
end

-- The first due time after `base` of a schedule that is counted from when it was first seen.
local function counted_from(created, timing, base)
  local period = timing.every * 1000
  local first = created + (timing.phase + (timing.jitter or 0)) * 1000
  return integer(first + (math.floor((base - first) / period) + 1) * period)
end

-- When it is due next: unless its timing is another one, when it was due next before.
local function due_next(id, inner, timing, definition, declared, created)
  local known = redis.call('HMGET', SCHEDULES, 'timing:' .. id, 'next:' .. id)
  local state = redis.call('HMGET', P .. ':schedule:' .. inner, 'runs', 'key')
  if definition.limit and tonumber(state[1] or 0) >= definition.limit then return '0' end
  if known[1] == timing and known[2] then
    if known[2] ~= '0' then return known[2] end
    -- It is counted from the end of a run, and whoever ticks it looks for that.
    if definition.timing.anchor == 'finish' and state[2] then return '0' end
  end
  if definition.timing.anchor == 'created' and declared ~= 0 then
    return counted_from(created, definition.timing, declared - definition.timing.every * 1000)
  end
  return integer(declared)
end

-- `row`: timing, definition, next time (ms; 0 if it is not due any more), former name, signature ('' if there is none). A schedule whose timing is
-- unchanged keeps its next time, so that no reload moves it; one that was renamed takes over what its former name
-- has left.
local function declare(owner, name, row, token)
  local id = owner .. '/' .. name
  local timing, text, declared, former = row[1], row[2], row[3], row[4]
  local definition = cjson.decode(text)
  if former ~= '' then take_over(id, owner .. '/' .. former, token) end
  local inner = settled_name(id, token)
  local state = P .. ':schedule:' .. inner
  redis.call('HSETNX', state, 'created', integer(milliseconds()))
  redis.call('HSET', state, 'name', id, 'overlap', definition.overlap or 'skip')
  if definition.pause_on_failure then redis.call('HSET', state, 'brake', definition.pause_on_failure)
  else redis.call('HDEL', state, 'brake')
  end
  for _, memory in ipairs(memories_of(inner)) do redis.call('PERSIST', memory) end
  local created = tonumber(redis.call('HGET', state, 'created'))
  local next_time = due_next(id, inner, timing, definition, declared, created)
  redis.call('HSET', SCHEDULES, 'timing:' .. id, timing, 'definition:' .. id, text, 'next:' .. id, next_time, 'of:' .. id, token)
  if row[5] ~= '' then redis.call('HSET', SCHEDULES, 'seal:' .. id, row[5])
  else redis.call('HDEL', SCHEDULES, 'seal:' .. id)
  end
end

-- Brings over one schedule of what is staged; tells whether it is declared. Whoever takes over from it goes first, or
-- would find it declared anew.
local function bring(owner, name, token, seen)
  seen = seen or {}
  if redis.call('HGET', SCHEDULES, 'of:' .. owner .. '/' .. name) == token or seen[name] then return true end
  seen[name] = true
  local staged = P .. ':staged:' .. owner .. ':' .. token
  local known = redis.call('HMGET', staged, 'heir:' .. name, 'row:' .. name)
  if known[1] then bring(owner, known[1], token, seen) end
  if not known[2] then return false end
  declare(owner, name, cjson.decode(known[2]), token)
  return true
end

-- It is gone at once; its pending runs are cancelled in slices, and the running one goes on.
local function remove(id)
  local inner = inner_name(id)
  redis.call('HDEL', SCHEDULES, 'definition:' .. id, 'timing:' .. id, 'next:' .. id, 'of:' .. id, 'seal:' .. id)
  if not belongs(id, inner) then
    redis.call('HDEL', SCHEDULES, 'alias:' .. id)
    return
  end
  redis.call('HSET', P .. ':removing', inner, integer(milliseconds()))
  for _, memory in ipairs(memories_of(inner)) do redis.call('PEXPIRE', memory, TOMBSTONE) end
end
