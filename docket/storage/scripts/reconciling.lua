-- Schedules in force: expects nothing.

-- Makes the schedules of one owner equal to those that ARGV holds from `first` to `last`; those of others are
-- not touched. Per schedule: name, timing, definition, next time (ms; 0 if it is not due any more), former name.
-- Returns, per schedule, its next time in force. A schedule whose timing is unchanged keeps its own, so that
-- no reload moves it; one that was renamed takes over what its former name has left.
local function reconcile(owner, first, last)
  local schedules = P .. ':schedules'
  local declared, replies = {}, {}

  local function take_over(id, former)
    for _, field in ipairs({'timing:', 'next:', 'last:'}) do
      local value = redis.call('HGET', schedules, field .. former)
      if value then redis.call('HSETNX', schedules, field .. id, value) end
    end
  end

  for at = first, last, 5 do
    local id = owner .. '/' .. ARGV[at]
    declared[id] = true
    if ARGV[at + 4] ~= '' then take_over(id, owner .. '/' .. ARGV[at + 4]) end
    local known = redis.call('HMGET', schedules, 'timing:' .. id, 'next:' .. id)
    local next_time = ARGV[at + 3]
    if known[1] == ARGV[at + 1] and known[2] and known[2] ~= '0' then next_time = known[2] end
    redis.call('HSET', schedules, 'timing:' .. id, ARGV[at + 1], 'definition:' .. id, ARGV[at + 2], 'next:' .. id, next_time)
    replies[#replies + 1] = next_time
  end
  for _, field in ipairs(redis.call('HKEYS', schedules)) do
    local id = string.match(field, '^definition:(.*)$')
    if id and string.sub(id, 1, #owner + 1) == owner .. '/' and not declared[id] then
      redis.call('HDEL', schedules, 'definition:' .. id, 'timing:' .. id, 'next:' .. id, 'last:' .. id)
    end
  end
  return replies
end
