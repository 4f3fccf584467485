--! include runs
-- Renews the leases that a worker still holds, and tells it which ones it does not.
--
-- consumer   the name in the consumer group
-- REST...    per run: message, queue, key, generation, fence
-- returns    per run: HELD, CANCEL (held, and somebody wants it cancelled), LOST (another worker has
--            taken it over) or SUPERSEDED (the key has moved on; the run may end in peace)
--
-- Fence and consumer are compared first: a bare XCLAIM would steal back what another worker has rightly taken.

local replies = {}
for at = REST, #ARGV, 5 do
  local message, queue, key, generation, fence = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  local known = redis.call('HMGET', run_of(key), 'state', 'fence', 'cancel', 'generation', 'message', 'consumer', 'ring')
  local current = known[4] or FIRST
  local is_ours = known[2] == fence and known[6] == consumer
  if known[1] == 'running' and is_ours and current == generation then
    redis.pcall('XCLAIM', stream_of(queue), GROUP, consumer, 0, message, 'IDLE', 0, 'JUSTID')
    replies[#replies + 1] = known[3] and 'CANCEL' or 'HELD'
  elseif known[1] and current == generation and known[5] == message and not is_ours
    and not has_passed(known[7], passed_run(fence, consumer)) then
    replies[#replies + 1] = 'LOST'
  else
    replies[#replies + 1] = 'SUPERSEDED'
  end
end
return replies
