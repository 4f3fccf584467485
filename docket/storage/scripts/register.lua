--! include runs
-- Announces a worker and the tasks it knows, and forgets workers that have been silent for too long.
--
-- worker    its name
-- silence   ms without a heartbeat after which a worker counts as gone
-- codecs    what it reads, separated by spaces
-- queues    those that it serves, a line each; '' if it does not say
-- age       ms since it has started
-- code      the fingerprint of the code that it runs; '' if there is none
-- slots     how many executions it runs at a time; 0 if it does not say
-- REST...   pairs: a task that it knows, and what that can be called with ('' if it does not say)
-- returns   the Redis time in ms

local SLICE = 100
local now = milliseconds()

local function forget(name)
  local tasks = P .. ':worker-tasks:' .. name
  for _, task in ipairs(redis.call('SMEMBERS', tasks)) do
    redis.call('SREM', P .. ':task-workers:' .. task, name)
  end
  redis.call('DEL', tasks, P .. ':worker-shapes:' .. name)
  redis.call('ZREM', P .. ':workers', name)
  redis.call('HDEL', P .. ':codecs', name)
  redis.call('HDEL', P .. ':worker-queues', name)
  redis.call('HDEL', P .. ':worker-code', name)
end

for _, silent in ipairs(redis.call('ZRANGEBYSCORE', P .. ':workers', '-inf', integer(now - silence), 'LIMIT', 0, SLICE)) do
  forget(silent)
end
forget(worker)
say_format()
redis.call('ZADD', P .. ':workers', integer(now), worker)
redis.call('HSET', P .. ':codecs', worker, codecs)
if queues ~= '' then redis.call('HSET', P .. ':worker-queues', worker, queues) end
if code ~= '' then
  redis.call('HSET', P .. ':worker-code', worker, table.concat({integer(now - age), code, slots}, ' '))
end
for at = REST, #ARGV, 2 do
  local task, shape = ARGV[at], ARGV[at + 1]
  if task ~= '' then
    redis.call('SADD', P .. ':worker-tasks:' .. worker, task)
    redis.call('SADD', P .. ':task-workers:' .. task, worker)
  end
  if shape ~= '' then redis.call('HSET', P .. ':worker-shapes:' .. worker, task, shape) end
end
return integer(now)
