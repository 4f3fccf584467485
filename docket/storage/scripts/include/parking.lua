-- How parked executions are released: a slice per call. Expects runs.lua.

local SLICE = 100
local now = milliseconds()
local unread = SLICE         -- how many more records this call looks at
local released, unreadable, bells = {}, {}, {}

local function put_back(key, known)
  local run, queue, due, schedule = run_of(key), known[5] or '', known[7], known[8]
  local generation = integer(tonumber(known[6] or FIRST) + 1)
  parked.leave(key)
  redis.call('HDEL', run, 'reason', 'strike')
  -- It gave its turn away when it was parked: if another run has it by now, it waits like the others.
  if schedule and not turns.take_turn(schedule, key) then
    redis.call('HSET', run, 'state', 'scheduled', 'generation', generation, 'waits', turns.slot_of(schedule))
    turns.wait_for_turn(schedule, key, due, now)
    announce(key, 'scheduled', due)
  elseif tonumber(due) > now then
    redis.call('HSET', run, 'state', 'scheduled', 'generation', generation)
    put_in_future(key, queue, due)
    announce(key, 'scheduled', due)
  else
    local message = put_on_stream(key, queue, generation)
    redis.call('HSET', run, 'state', 'queued', 'generation', generation, 'message', message)
    announce(key, 'queued', due)
    bells[queue] = true
  end
  released[#released + 1] = key
  released[#released + 1] = known[4]
end

local function release_one(group, key)
  local known, trouble = attempt(redis.call, 'HMGET', run_of(key),
    'state', 'reason', 'strike', 'task', 'queue', 'generation', 'due', 'schedule')
  if known and known[1] == 'parked' and parked.group_of(known[2] or '', known[4], known[3]) == group then
    put_back(key, known)
    return
  end
  -- The record says otherwise, or cannot be read: then it must not stand in the way of the others.
  parked.leave_group(group, key)
  if trouble then unreadable[#unreadable + 1] = key end
  if not known or known[1] ~= 'parked' then redis.call('ZREM', P .. ':parked', key) end
end

-- Releases what a group holds, the longest parked first, `most` at most.
local function release_group(group, most)
  local count = math.min(unread, most)
  if count < 1 then return end
  local keys = redis.call('ZRANGE', P .. ':parked:' .. group, 0, count - 1)
  unread = unread - #keys
  for _, key in ipairs(keys) do release_one(group, key) end
  if #keys == 0 then redis.call('SREM', P .. ':parked-groups', group) end
end

-- {1 if there may be more, {keys whose record cannot be read}, key, task, key, task, ...}
local function reply()
  return {unread < 1 and 1 or 0, unreadable, unpack(released)}
end
