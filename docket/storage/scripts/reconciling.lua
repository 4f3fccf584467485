-- Schedules in force. Expects runs.lua and cancelling.lua.
--
-- What a file declares stands in P:schedules; what has happened, in P:schedule:<id> (created, last, key, runs, failures,
-- brake, pause, skip, and skipped:<reason>), P:outcomes:<id> and P:ran:<id>. The latter outlive the schedule for a
-- while, so that one that comes back goes on where it was.

local TOMBSTONE = 7 * 24 * 3600 * 1000   -- ms
local REMEMBERED = 15 * 60 * 1000        -- ms for which the runs are remembered that are cancelled with their schedule
local SCHEDULES = P .. ':schedules'

local function memories_of(id)
  return {P .. ':schedule:' .. id, P .. ':outcomes:' .. id, P .. ':ran:' .. id}
end

-- Moves those that wait for their turn, and the one whose turn it is, to another name.
local function rename_turns(id, former)
  local slot = turns_of(id)
  local waiters = P .. ':waiters:' .. turns_of(former)
  for _, key in ipairs(redis.call('ZRANGE', waiters, 0, -1)) do
    redis.call('HSET', run_of(key), 'waits', slot, 'schedule', id)
  end
  if redis.call('EXISTS', waiters) == 1 then redis.call('RENAME', waiters, P .. ':waiters:' .. slot) end
  local key = redis.call('HGET', P .. ':schedule:' .. former, 'key')
  if key and redis.call('HGET', run_of(key), 'schedule') == former then redis.call('HSET', run_of(key), 'schedule', id) end
end

-- What a former name has left; not if the new one has a past of its own.
local function take_over(id, former)
  local ours, theirs = memories_of(id), memories_of(former)
  if redis.call('EXISTS', theirs[1]) == 0 or redis.call('EXISTS', ours[1]) == 1 then return end
  rename_turns(id, former)
  for at, memory in ipairs(theirs) do
    if redis.call('EXISTS', memory) == 1 then redis.call('RENAME', memory, ours[at]) end
  end
  for _, field in ipairs({'timing:', 'next:'}) do
    local value = redis.call('HGET', SCHEDULES, field .. former)
    if value then redis.call('HSETNX', SCHEDULES, field .. id, value) end
  end
end

-- The first due time after `base` of a schedule that is counted from when it was first seen.
local function counted_from(created, timing, base)
  local period = timing.every * 1000
  local first = created + (timing.phase + (timing.jitter or 0)) * 1000
  return integer(first + (math.floor((base - first) / period) + 1) * period)
end

-- When it is due next: unless its timing is another one, when it was due next before.
local function due_next(id, timing, definition, declared, created)
  local known = redis.call('HMGET', SCHEDULES, 'timing:' .. id, 'next:' .. id)
  local state = redis.call('HMGET', P .. ':schedule:' .. id, 'runs', 'key')
  if definition.limit and tonumber(state[1] or 0) >= definition.limit then return '0' end
  if known[1] == timing and known[2] then
    if known[2] ~= '0' then return known[2] end
    -- It is counted from the end of a run, and whoever ticks it looks for that.
    if definition.timing.anchor == 'finish' and state[2] then return '0' end
  end
  if definition.timing.anchor == 'created' and declared ~= '0' then
    return counted_from(created, definition.timing, tonumber(declared) - definition.timing.every * 1000)
  end
  return declared
end

-- Its pending runs are cancelled, the running one goes on.
local function remove(id)
  local keys = redis.call('ZRANGE', P .. ':waiters:' .. turns_of(id), 0, -1)
  for _, outcome in ipairs(redis.call('LRANGE', P .. ':outcomes:' .. id, 0, -1)) do
    keys[#keys + 1] = string.match(outcome, '^[^\n]*\n[^\n]*\n(.*)$')
  end
  for _, key in ipairs(keys) do
    local known = redis.call('HMGET', run_of(key), 'state', 'schedule')
    if known[2] == id and (known[1] == 'scheduled' or known[1] == 'queued') then cancel(key, REMEMBERED) end
  end
  redis.call('HDEL', SCHEDULES, 'definition:' .. id, 'timing:' .. id, 'next:' .. id)
  for _, memory in ipairs(memories_of(id)) do redis.call('PEXPIRE', memory, TOMBSTONE) end
end

-- Makes the schedules of one owner equal to those that ARGV holds from `first` to `last`; those of others are
-- not touched. Per schedule: name, timing, definition, next time (ms; 0 if it is not due any more), former name.
-- Returns, per schedule, its next time in force. A schedule whose timing is unchanged keeps its own, so that
-- no reload moves it; one that was renamed takes over what its former name has left.
local function reconcile(owner, first, last)
  local declared, replies = {}, {}
  for at = first, last, 5 do
    local id = owner .. '/' .. ARGV[at]
    local timing, definition = ARGV[at + 1], cjson.decode(ARGV[at + 2])
    declared[id] = true
    if ARGV[at + 4] ~= '' then take_over(id, owner .. '/' .. ARGV[at + 4]) end
    local state = P .. ':schedule:' .. id
    redis.call('HSETNX', state, 'created', integer(milliseconds()))
    if definition.pause_on_failure then redis.call('HSET', state, 'brake', definition.pause_on_failure)
    else redis.call('HDEL', state, 'brake')
    end
    for _, memory in ipairs(memories_of(id)) do redis.call('PERSIST', memory) end
    local created = tonumber(redis.call('HGET', state, 'created'))
    local next_time = due_next(id, timing, definition, ARGV[at + 3], created)
    redis.call('HSET', SCHEDULES, 'timing:' .. id, timing, 'definition:' .. id, ARGV[at + 2], 'next:' .. id, next_time)
    replies[#replies + 1] = next_time
  end
  for _, field in ipairs(redis.call('HKEYS', SCHEDULES)) do
    local id = string.match(field, '^definition:(.*)$')
    if id and string.sub(id, 1, #owner + 1) == owner .. '/' and not declared[id] then remove(id) end
  end
  return replies
end
