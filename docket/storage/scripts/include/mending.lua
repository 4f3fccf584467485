-- How each mismatch of comparing.lua is repaired: the record is the truth, and no work is lost. Expects that and the
-- arguments of check.lua.

local DAYS = 604800000   -- ms for which an ended record is kept that would stay for ever
local mends = {}
local bells = {}

-- Queues an execution again that waits nowhere.
local function queue_again(key)
  local queue, generation, due = unpack(redis.call('HMGET', run_of(key), 'queue', 'generation', 'due'))
  local message = put_on_stream(key, queue, generation or FIRST)
  redis.call('HSET', run_of(key), 'state', 'queued', 'message', message)
  announce(key, 'queued', due)
  bells[queue or ''] = true
end

mends['record-expires'] = function(key) redis.call('PERSIST', run_of(key)) end
mends['record-stays'] = function(key) redis.call('PEXPIRE', run_of(key), DAYS) end
mends['message-missing'] = queue_again

mends['future-missing'] = function(key)
  local queue, due = unpack(redis.call('HMGET', run_of(key), 'queue', 'due'))
  put_in_future(key, queue, due)
end
mends['future-wrong'] = mends['future-missing']

-- Whoever runs it still has an outdated fence from now on.
mends['run-lost'] = function(key)
  redis.call('HSET', run_of(key), 'fence', next_fence())
  redis.call('HDEL', run_of(key), 'consumer', 'started')
  queue_again(key)
end

-- It asks for its slot anew, unless it is for its turn that it waits, and another run has that.
mends['waiter-missing'] = function(key)
  local waits, due = unpack(redis.call('HMGET', run_of(key), 'waits', 'due'))
  local id = string.match(waits, '^schedule (.*)$')
  if id and not turns.take_turn(id, key) then return turns.wait_for_turn(id, key, due, now) end
  gates.stop_waiting(key, waits)
  queue_again(key)
end
mends['waiter-unsized'] = mends['waiter-missing']

mends['suspect-missing'] = function(key)
  local queue = redis.call('HGET', run_of(key), 'queue')
  redis.call('ZADD', suspects_of(queue), integer(own_milliseconds()), key)
  bells[queue or ''] = true
end

mends['suspect-stale'] = function(key)
  redis.call('ZREM', suspects_of(name), key)
  if looks.record(key)[1] == 'message-missing' then queue_again(key) end
end

mends['parked-missing'] = function(key)
  local group = parked.group_of(unpack(redis.call('HMGET', run_of(key), 'reason', 'task', 'strike')))
  redis.call('ZADD', P .. ':parked', 'NX', integer(now), key)
  redis.call('ZADD', P .. ':parked:' .. group, 'NX', integer(now), key)
  redis.call('SADD', P .. ':parked-groups', group)
end

mends['dead-missing'] = function(key)
  local left = redis.call('PTTL', run_of(key))
  redis.call('ZADD', P .. ':dead', integer(now + (left < 0 and DAYS or left)), key)
end

mends['expiring-missing'] = function(key)
  redis.call('ZADD', P .. ':expiring', redis.call('HGET', run_of(key), 'expires'), key)
end

mends['stored-missing'] = function(key)
  evicting.count_again(key, unpack(redis.call('HMGET', run_of(key), 'completed', 'options')))
end
mends['stored-stale'] = function(member) evicting.drop(name, member) end
mends['stored-wrong'] = function(class)
  redis.call('HSET', P .. ':stored', class, integer(evicting.sum_of(class)))
  stored.change(class, 0)
end

mends['expiring-stale'] = function(key) redis.call('ZREM', P .. ':expiring', key) end
mends['future-stale'] = function(key) redis.call('ZREM', P .. ':queue', key) end
mends['waiting-missing'] = function(key) redis.call('ZADD', P .. ':waiting', integer(now), key) end
mends['waiting-stale'] = function(key) redis.call('ZREM', P .. ':waiting', key) end
mends['waiter-stale'] = function(key) gates.drop_waiter(key, name) end
mends['limit-stalled'] = function(slot) gates.grant(slot) end
mends['turn-stalled'] = function(slot) turns.next_turn(string.match(slot, '^schedule (.*)$')) end
mends['size-stale'] = function(slot) redis.call('HDEL', P .. ':sizes', slot) end
mends['message-stale'] = function(message) take_off_stream(name, message) end
mends['pending-stale'] = function(message) redis.call('XACK', stream_of(name), GROUP, message) end
mends['queue-unlisted'] = function(queue) remember_queue(queue) end
mends['parked-stale'] = function(key) redis.call('ZREM', P .. ':parked', key) end
mends['grouped-stale'] = function(key) parked.leave_group(name, key) end
mends['group-empty'] = function(group) redis.call('SREM', P .. ':parked-groups', group) end
mends['dead-stale'] = function(key) redis.call('ZREM', P .. ':dead', key) end
mends['due-time-stale'] = function(key) redis.call('ZREM', P .. ':pending:' .. name, key) end

mends['slot-stale'] = function(owner)
  gates.free_slots(owner)
  redis.call('ZREM', P .. ':slots:' .. name, owner)
  gates.grant(name)
end

mends['slot-unlisted'] = function(owner)
  local held = gates.held_by(owner) or {slots = {}}
  table.insert(held.slots, name)
  redis.call('HSET', P .. ':holding', owner, cjson.encode(held))
end

-- It runs: so it counts, if need be beyond the size of the limit.
mends['slot-missing'] = function(owner)
  for _, slot in ipairs(gates.held_by(owner).slots) do
    redis.call('ZADD', P .. ':slots:' .. slot, 'NX', integer(now), owner)
  end
end

mends['holding-stale'] = function(owner) gates.free_slots(owner) end
mends['orphan-stale'] = mends['holding-stale']
mends['orphan-missing'] = function(owner) redis.call('SADD', P .. ':orphans:' .. gates.held_by(owner).consumer, owner) end
mends['orphan-unlisted'] = function(owner) redis.call('SREM', P .. ':orphans:' .. name, owner) end
