-- Parking. P:parked holds everything that is parked, by time; P:parked:<group> what is parked for one reason and of one
-- task (by a strike: by one rule), and P:parked-groups the groups that hold anything. So whoever looks for what it can
-- release finds that, and nothing else. The record is the truth: an index is checked against it whenever it is used.

local function group_of(reason, task, rule)
  return reason .. ':' .. (reason == 'struck' and rule or task or '')
end

local function leave_group(group, key)
  local index = P .. ':parked:' .. group
  redis.call('ZREM', index, key)
  if redis.call('EXISTS', index) == 0 then redis.call('SREM', P .. ':parked-groups', group) end
end

local function leave(key)
  local known = redis.call('HMGET', run_of(key), 'reason', 'task', 'strike')
  redis.call('ZREM', P .. ':parked', key)
  if known[1] then leave_group(group_of(known[1], known[2], known[3]), key) end
end

-- `rule` is the strike that keeps it, if one does.
local function park(key, reason, now, due, rule)
  local run = run_of(key)
  redis.call('HDEL', run, 'consumer', 'started')
  redis.call('HSET', run, 'state', 'parked', 'reason', reason)
  if rule then redis.call('HSET', run, 'strike', rule) end
  local group = group_of(reason, redis.call('HGET', run, 'task'), rule)
  redis.call('ZADD', P .. ':parked', integer(now), key)
  redis.call('ZADD', P .. ':parked:' .. group, integer(now), key)
  redis.call('SADD', P .. ':parked-groups', group)
  announce(key, 'parked', due)
end
