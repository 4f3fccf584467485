--! include runs
--! include full
-- Renews the lease of a worker, and tells it which of its runs it does not hold any more.
--
-- consumer     the name in the consumer group
-- lease        ms for which it is believed from now on
-- quarantine   ms for which others leave suspects to it; 0 if it runs other things as well
-- REST...      per run: message, queue, key, generation, fence
-- returns      per run: HELD, CANCEL (held, and somebody wants it cancelled), LOST (another worker has
--              taken it over), SUPERSEDED (the key has moved on; the run may end in peace) or BROKEN (its key holds
--              something else)

local FIELDS = 5

local function hold(key, message, generation, fence)
  local known = redis.call('HMGET', run_of(key), 'state', 'fence', 'cancel', 'generation', 'message', 'consumer', 'ring', 'before')
  local current = known[4] or FIRST
  local is_ours = known[2] == fence and known[6] == consumer
  if known[1] == 'running' and is_ours and current == generation then return known[3] and 'CANCEL' or 'HELD' end
  if known[1] and current == generation and (known[5] == message or known[8] == message) and not is_ours
    and not passed.has(known[7], passed.run(fence, consumer)) then
    return 'LOST'
  end
  return 'SUPERSEDED'
end

-- In each call: many runs are renewed in several, and only the first would find that the lease had ended.
local function keep(queue)
  -- It was late, but nobody has taken this over yet.
  redis.call('ZREM', leases.lost_of(queue), consumer)
  if quarantine ~= '0' then redis.call('SET', suffixed('quarantine', queue), consumer, 'PX', quarantine) end
end

redis.call('ZADD', P .. ':leases', integer(own_milliseconds() + lease), consumer)
local kept, replies = {}, {}
for at = REST, #ARGV, FIELDS do
  local message, queue, key, generation, fence = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  if not kept[queue] then keep(queue) end
  kept[queue] = true
  replies[#replies + 1] = attempt(hold, key, message, generation, fence) or 'BROKEN'
end
return replies
