--! include runs
-- Says goodbye for a worker that has stopped in good order, and hands back what is still pending under its
-- name: what came with a reply that it never heard, and what it could not bring to its end.
--
-- worker     its name
-- consumer   its name in the consumer group
-- REST...    queues to look at beside those that are known ('' is the default queue)
-- returns    {how many executions it has handed back, 1 if there may be more: call again}
--
-- Being handed back is no crash, and no attempt is spent. Whoever still runs it has an outdated fence.

local tasks = P .. ':worker-tasks:' .. worker
for _, task in ipairs(redis.call('SMEMBERS', tasks)) do
  redis.call('SREM', P .. ':task-workers:' .. task, worker)
end
redis.call('DEL', tasks, P .. ':worker-shapes:' .. worker)
redis.call('ZREM', P .. ':workers', worker)
redis.call('HDEL', P .. ':codecs', worker)
redis.call('HDEL', P .. ':worker-queues', worker)
redis.call('HDEL', P .. ':worker-code', worker)
-- Should it be gone before it has called again, its lease ends, and others go on.
if not gates.free_orphans(consumer) then return {0, 1} end
redis.call('ZREM', P .. ':leases', consumer)

local function hand_back(queue, message)
  local entry = redis.call('XRANGE', stream_of(queue), message, message)[1]
  local key = entry and entry[2][2] or ''
  local run = run_of(key)
  local known = redis.call('HMGET', run, 'state', 'message', 'consumer', 'due', 'generation', 'nonce')
  local is_live = known[1] == 'running' or known[1] == 'queued'
  if not is_live or known[2] ~= message then return take_off_stream(queue, message) end
  if known[1] == 'running' and known[3] ~= consumer then return leases.hand_to(known[3], queue, message) end
  take_off_stream(queue, message)
  if gates.free_slots(gates.owner_of(key, known[6])) then redis.call('HDEL', run, 'slot') end
  message = put_on_stream(key, queue, known[5] or FIRST)
  redis.call('HSET', run, 'state', 'queued', 'message', message, 'fence', next_fence())
  redis.call('HDEL', run, 'consumer', 'started')
  announce(key, 'queued', known[4])
  ring(queue)
end

local count = 0
for _, queue in ipairs(leases.all_queues(REST, #ARGV)) do
  local place = suffixed('quarantine', queue)
  if redis.call('GET', place) == consumer then redis.call('DEL', place) end
  local entries = leases.pending(queue, consumer, leases.SLICE - count)
  for _, entry in ipairs(entries) do
    local _, trouble = attempt(hand_back, queue, entry[1])
    if trouble then take_wreck_off(queue, entry[1]) end
  end
  count = count + #entries
  if count >= leases.SLICE then break end
  leases.leave(queue, consumer)
end
return {count, count > 0 and 1 or 0}
