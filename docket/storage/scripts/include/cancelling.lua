-- How an execution is cancelled. Expects runs.lua.

-- For good, or by asking its worker to. Answers as cancel.lua does.
local function cancel(key, ttl)
  local run = run_of(key)
  local known = redis.call('HMGET', run, 'state', 'queue', 'message', 'due')
  local state = known[1]
  if not state then return 'UNKNOWN' end
  if state == 'running' then
    redis.call('HSET', run, 'cancel', '1')
    publish(P .. ':cancellations', key)
    return 'REQUESTED'
  end
  if state == 'completed' or state == 'failed' or state == 'cancelled' then return 'FINISHED' end
  detach(key, state, known[2], known[3])
  finish(key, 'cancelled', milliseconds(), ttl, 'cancelled', nil, nil, nil, known[4])
  return 'CANCELLED'
end
