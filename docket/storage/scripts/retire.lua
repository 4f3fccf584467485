--! include runs
-- Says goodbye for a worker that has stopped in good order.
--
-- worker     its name
-- consumer   its name in the consumer group
-- REST...    its queues ('' is the default queue)
-- returns    how many executions are still pending under its name (0 in good order)

local tasks = P .. ':worker-tasks:' .. worker
for _, task in ipairs(redis.call('SMEMBERS', tasks)) do
  redis.call('SREM', P .. ':task-workers:' .. task, worker)
end
redis.call('DEL', tasks)
redis.call('ZREM', P .. ':workers', worker)
local left = 0
for at = REST, #ARGV do
  local stream = stream_of(ARGV[at])
  local pending = redis.pcall('XPENDING', stream, GROUP, '-', '+', 1, consumer)
  if not pending.err then
    -- A consumer is deleted only when nothing hangs on it: its entries would go with it.
    if #pending == 0 then redis.pcall('XGROUP', 'DELCONSUMER', stream, GROUP, consumer) end
    left = left + #pending
  end
end
return left
