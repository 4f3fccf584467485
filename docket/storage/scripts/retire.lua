--! include runs
-- Says goodbye for a worker that has stopped in good order, and hands back what is still pending under its
-- name: what came with a reply that it never heard, and what it could not bring to its end.
--
-- worker     its name
-- consumer   its name in the consumer group
-- REST...    its queues ('' is the default queue)
-- returns    how many executions are left that are not its own (0 in good order)
--
-- Being handed back is no crash, and no attempt is spent. Whoever still runs it has an outdated fence.

local MOST = 1000
local tasks = P .. ':worker-tasks:' .. worker
for _, task in ipairs(redis.call('SMEMBERS', tasks)) do
  redis.call('SREM', P .. ':task-workers:' .. task, worker)
end
redis.call('DEL', tasks)
redis.call('ZREM', P .. ':workers', worker)

-- Tells 1 if it stays where it is.
local function hand_back(queue, message)
  local entry = redis.call('XRANGE', stream_of(queue), message, message)[1]
  local key = entry and entry[2][2] or ''
  local run = run_of(key)
  local known = redis.call('HMGET', run, 'state', 'message', 'consumer', 'due', 'generation')
  if known[2] ~= message then
    take_off_stream(queue, message)
    return 0
  elseif known[1] ~= 'running' or known[3] ~= consumer then
    return 1
  end
  take_off_stream(queue, message)
  message = put_on_stream(key, queue, known[5] or FIRST)
  redis.call('HSET', run, 'state', 'queued', 'message', message, 'fence', next_fence())
  redis.call('HDEL', run, 'consumer', 'started')
  announce(key, 'queued', known[4])
  ring(queue)
  return 0
end

local left = 0
for at = REST, #ARGV do
  local queue = ARGV[at]
  local stream = stream_of(queue)
  local pending = redis.pcall('XPENDING', stream, GROUP, '-', '+', MOST, consumer)
  if not pending.err then
    for _, entry in ipairs(pending) do
      left = left + (attempt(hand_back, queue, entry[1]) or 1)
    end
    -- A consumer is deleted only when nothing hangs on it: its entries would go with it.
    if #redis.call('XPENDING', stream, GROUP, '-', '+', 1, consumer) == 0 then
      redis.pcall('XGROUP', 'DELCONSUMER', stream, GROUP, consumer)
    end
  end
end
keep_fence()
return left
