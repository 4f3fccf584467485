--! include runs
-- Announces a worker and the tasks it knows, and forgets workers that have been silent for too long.
--
-- worker    its name
-- silence   ms without a heartbeat after which a worker counts as gone
-- REST...   the tasks that it knows
-- returns   the Redis time in ms

local SLICE = 100
local now = milliseconds()

local function forget(name)
  local tasks = P .. ':worker-tasks:' .. name
  for _, task in ipairs(redis.call('SMEMBERS', tasks)) do
    redis.call('SREM', P .. ':task-workers:' .. task, name)
  end
  redis.call('DEL', tasks)
  redis.call('ZREM', P .. ':workers', name)
end

for _, silent in ipairs(redis.call('ZRANGEBYSCORE', P .. ':workers', '-inf', integer(now - silence), 'LIMIT', 0, SLICE)) do
  forget(silent)
end
forget(worker)
say_format()
redis.call('ZADD', P .. ':workers', integer(now), worker)
for at = REST, #ARGV do
  redis.call('SADD', P .. ':worker-tasks:' .. worker, ARGV[at])
  redis.call('SADD', P .. ':task-workers:' .. ARGV[at], worker)
end
return integer(now)
