-- What can be wrong between a record and whatever refers to it. Each look is at one subject and at both sides of it, in
-- one script: workers change both together, so whatever differs here is wrong and not merely under way. It returns the
-- names of what it finds, and changes nothing. Expects runs.lua, and the arguments of check.lua.

local now = milliseconds()
local SLACK = 1000       -- ms by which a record and the index of its end may differ
local UNRECORDED = 60000 -- ms for which a slot may be held by one of whom there is no record
local looks = {}

-- A record that holds something else counts as none, but where it is looked at itself.
local function known_of(key, ...)
  return attempt(redis.call, 'HMGET', run_of(key), ...) or {}
end

local function is_in_stream(queue, message, key)
  if not message then return false end
  local entry = redis.call('XRANGE', stream_of(queue), message, message)[1]
  return entry ~= nil and entry[2][2] == key
end

-- Whether a consumer is believed to hold something, or what it held is still to be taken over.
local function is_reckoned_with(consumer, queue)
  return consumer and (redis.call('ZSCORE', P .. ':leases', consumer)
    or redis.call('ZSCORE', leases.lost_of(queue), consumer)) and true or false
end

local function is_ended(state)
  return state == 'completed' or state == 'failed' or state == 'cancelled'
end

local states = {}

function states.scheduled(key, known)
  if known.waits then
    local found = {}
    local is_waiter = redis.call('ZSCORE', P .. ':waiters:' .. known.waits, key)
    if not is_waiter then found[1] = 'waiter-missing'
    elseif not redis.call('ZSCORE', P .. ':waiting', key) then found[1] = 'waiting-missing'
    end
    return found
  end
  local score = redis.call('ZSCORE', P .. ':queue', key)
  if not score then return {'future-missing'} end
  return {tonumber(score) ~= tonumber(known.due) and 'future-wrong' or nil}
end

function states.queued(key, known)
  if redis.call('ZSCORE', suspects_of(known.queue), key) or is_in_stream(known.queue, known.message, key) then return {} end
  return {known.reason == 'suspect' and 'suspect-missing' or 'message-missing'}
end

-- As long as its worker is reckoned with, that ends it, or has it taken over.
function states.running(key, known)
  if is_in_stream(known.queue, known.message, key) or is_reckoned_with(known.consumer, known.queue) then return {} end
  return {'run-lost'}
end

function states.parked(key, known)
  local group = parked.group_of(known.reason or '', known.task, known.strike)
  local is_listed = redis.call('ZSCORE', P .. ':parked', key) and redis.call('ZSCORE', P .. ':parked:' .. group, key)
    and redis.call('SISMEMBER', P .. ':parked-groups', group) == 1
  return {not is_listed and 'parked-missing' or nil}
end

-- A call that is to run once may keep its record for longer than dead letters are kept.
function states.failed(key, known)
  if known.left <= SLACK or string.find(known.options or '', '"once"', 1, true) then return {} end
  if redis.call('ZSCORE', P .. ':dead', key) then return {} end
  return {'dead-missing'}
end

-- A moment that has passed is taken from the index, whatever had begun by then.
local function lacks_its_moment(key, expires)
  return expires and tonumber(expires) > now and not redis.call('ZSCORE', P .. ':expiring', key)
end

-- One that is about to end by itself may have left the index already.
local function lacks_its_count(key)
  local size = redis.pcall('STRLEN', P .. ':results:' .. key)
  if type(size) ~= 'number' or size == 0 then return false end
  if redis.call('PTTL', P .. ':results:' .. key) <= SLACK or evicting.is_elsewhere(key) then return false end
  return not evicting.is_counted(key, size)
end

function looks.record(key)
  local names, known = {'state', 'queue', 'message', 'due', 'waits', 'reason', 'task', 'strike', 'consumer', 'options', 'expires'}, {}
  for at, value in ipairs(redis.call('HMGET', run_of(key), unpack(names))) do known[names[at]] = value or nil end
  local left = redis.call('PTTL', run_of(key))
  if left == -2 then return {} end
  if not known.state or not (states[known.state] or is_ended(known.state)) then return {'record-unreadable'} end
  known.left = left
  local found = states[known.state] and states[known.state](key, known) or {}
  if is_ended(known.state) and left == -1 then found[#found + 1] = 'record-stays' end
  if not is_ended(known.state) and left ~= -1 then found[#found + 1] = 'record-expires' end
  if not is_ended(known.state) and lacks_its_moment(key, known.expires) then found[#found + 1] = 'expiring-missing' end
  if is_ended(known.state) and RESULTS ~= '' and lacks_its_count(key) then found[#found + 1] = 'stored-missing' end
  return found
end

function looks.stored(member)
  local goes = tonumber(redis.call('ZSCORE', P .. ':stored:' .. name, member) or nil)
  if not goes or goes <= now + SLACK then return {} end
  local key = stored.parsed(member)
  return {not (key and evicting.is_there(key, goes)) and 'stored-stale' or nil}
end

-- All of it is added up at once: an index that is larger is left alone.
function looks.stored_class(class)
  local bytes = evicting.sum_of(class)
  return {bytes and bytes ~= tonumber(redis.call('HGET', P .. ':stored', class) or 0) and 'stored-wrong' or nil}
end

function looks.expiring(key)
  local score = redis.call('ZSCORE', P .. ':expiring', key)
  if not score then return {} end
  local state, expires = unpack(known_of(key, 'state', 'expires'))
  local is_stale = not state or is_ended(state) or tonumber(expires or nil) ~= tonumber(score)
  return {is_stale and 'expiring-stale' or nil}
end

function looks.future(key)
  if not redis.call('ZSCORE', P .. ':queue', key) then return {} end
  local state, waits = unpack(known_of(key, 'state', 'waits'))
  return {(state ~= 'scheduled' or waits) and 'future-stale' or nil}
end

function looks.waiting(key)
  if not redis.call('ZSCORE', P .. ':waiting', key) then return {} end
  return {not known_of(key, 'waits')[1] and 'waiting-stale' or nil}
end

function looks.waiter(key)
  if not redis.call('ZSCORE', P .. ':waiters:' .. name, key) then return {} end
  if known_of(key, 'waits')[1] ~= name then return {'waiter-stale'} end
  if string.match(name, '^schedule ') or redis.call('HEXISTS', P .. ':sizes', name) == 1 then return {} end
  return {'waiter-unsized'}
end

-- The name of a limit, or of the turns of a schedule, that anything waits for.
function looks.limit(slot)
  if redis.call('EXISTS', P .. ':waiters:' .. slot) == 0 then return {} end
  local id = string.match(slot, '^schedule (.*)$')
  if id then
    local key = redis.call('HGET', P .. ':schedule:' .. id, 'key')
    local is_free = not turns.has_orphan(id) and not (key and turns.has_turn(id, key))
      and redis.call('HEXISTS', P .. ':removing', id) == 0
    return {is_free and 'turn-stalled' or nil}
  end
  local asked, definition = string.match(redis.call('HGET', P .. ':sizes', slot) or '', '^(%d+)\n(.*)$')
  local size = gates.announced_size(definition) or tonumber(asked or 0)
  return {redis.call('ZCARD', P .. ':slots:' .. slot) < size and 'limit-stalled' or nil}
end

function looks.size(slot)
  local is_stale = redis.call('HEXISTS', P .. ':sizes', slot) == 1 and redis.call('EXISTS', P .. ':waiters:' .. slot) == 0
  return {is_stale and 'size-stale' or nil}
end

-- A superseded run leaves its message to its worker: only what nobody holds is nobody's.
function looks.message(message)
  local entry = redis.call('XRANGE', stream_of(name), message, message)[1]
  if not entry then return {} end
  local fields = {}
  for at = 1, #entry[2], 2 do fields[entry[2][at]] = entry[2][at + 1] end
  local state, current, generation = unpack(known_of(fields.key or '', 'state', 'message', 'generation'))
  if (state == 'queued' or state == 'running') and current == message and (generation or FIRST) == fields.generation then
    return {}
  end
  local held = redis.pcall('XPENDING', stream_of(name), GROUP, message, message, 1)
  return {(held.err or #held == 0) and 'message-stale' or nil}
end

function looks.pending(message)
  local held = redis.pcall('XPENDING', stream_of(name), GROUP, message, message, 1)
  if held.err or #held == 0 then return {} end
  return {#redis.call('XRANGE', stream_of(name), message, message) == 0 and 'pending-stale' or nil}
end

function looks.queue(queue)
  local is_unlisted = redis.call('TYPE', stream_of(queue)).ok == 'stream' and redis.call('SISMEMBER', P .. ':queues', queue) == 0
  return {is_unlisted and 'queue-unlisted' or nil}
end

function looks.suspect(key)
  if not redis.call('ZSCORE', suspects_of(name), key) then return {} end
  local state, level, queue = unpack(known_of(key, 'state', 'suspect', 'queue'))
  return {(state ~= 'queued' or not level or (queue or '') ~= name) and 'suspect-stale' or nil}
end

function looks.parked(key)
  if not redis.call('ZSCORE', P .. ':parked', key) then return {} end
  return {known_of(key, 'state')[1] ~= 'parked' and 'parked-stale' or nil}
end

function looks.grouped(key)
  if not redis.call('ZSCORE', P .. ':parked:' .. name, key) then return {} end
  local state, reason, task, strike = unpack(known_of(key, 'state', 'reason', 'task', 'strike'))
  return {(state ~= 'parked' or parked.group_of(reason or '', task, strike) ~= name) and 'grouped-stale' or nil}
end

function looks.group(group)
  local is_empty = redis.call('SISMEMBER', P .. ':parked-groups', group) == 1
    and redis.call('EXISTS', P .. ':parked:' .. group) == 0
  return {is_empty and 'group-empty' or nil}
end

-- The record of a dead letter goes by itself, and its place in the index with the next one that is buried.
function looks.dead(key)
  local score = redis.call('ZSCORE', P .. ':dead', key)
  if not score then return {} end
  local state = known_of(key, 'state')[1]
  local is_stale = state and state ~= 'failed' or not state and tonumber(score) > now + SLACK
  return {is_stale and 'dead-stale' or nil}
end

local function key_of(owner)
  return string.match(owner, '\n(.*)$') or owner
end

-- A superseded run keeps its slot for as long as its consumer is reckoned with.
function looks.slot(owner)
  local since = redis.call('ZSCORE', P .. ':slots:' .. name, owner)
  if not since then return {} end
  local held = gates.held_by(owner)
  if held and held.consumer then return {} end
  if not gates.is_live(owner) then
    local is_unrecorded = not known_of(key_of(owner), 'state')[1] and now - tonumber(since) < UNRECORDED
    return {not is_unrecorded and 'slot-stale' or nil}
  end
  for _, slot in ipairs(held and held.slots or {}) do
    if slot == name then return {} end
  end
  return {'slot-unlisted'}
end

local function has_lost_a_slot(owner, held)
  for _, slot in ipairs(held.slots) do
    if not redis.call('ZSCORE', P .. ':slots:' .. slot, owner) then return true end
  end
  return false
end

local function is_consumer_known(consumer)
  if redis.call('ZSCORE', P .. ':leases', consumer) then return true end
  for _, queue in ipairs(redis.call('SMEMBERS', P .. ':queues')) do
    if redis.call('ZSCORE', leases.lost_of(queue), consumer) then return true end
  end
  return false
end

-- One that has only the turn of a schedule may have been begun by hand: such a consumer has no lease.
function looks.holding(owner)
  local held = gates.held_by(owner)
  if not held then return {} end
  if held.consumer then
    if #held.slots > 0 and not is_consumer_known(held.consumer) then return {'orphan-stale'} end
    if redis.call('SISMEMBER', P .. ':orphans:' .. held.consumer, owner) == 0 then return {'orphan-missing'} end
  elseif #held.slots == 0 or has_lost_a_slot(owner, held) and not gates.is_live(owner) then return {'holding-stale'}
  end
  return {has_lost_a_slot(owner, held) and 'slot-missing' or nil}
end

function looks.orphan(owner)
  if redis.call('SISMEMBER', P .. ':orphans:' .. name, owner) == 0 then return {} end
  local held = gates.held_by(owner)
  return {not (held and held.consumer == name) and 'orphan-unlisted' or nil}
end

function looks.due_time(key)
  if not redis.call('ZSCORE', P .. ':pending:' .. name, key) then return {} end
  local state, schedule = unpack(known_of(key, 'state', 'schedule'))
  return {(not state or is_ended(state) or schedule ~= name) and 'due-time-stale' or nil}
end
