-- Leases. A consumer is one life of one worker. Its pending entries say what it holds; P:leases says how long it is
-- believed to: member the consumer, score the end of its own lease in ms. What a consumer held whose lease has ended is
-- in P:lost:<queue> until somebody has taken all of it. Leases go by the
-- server's own time, also where tests move it: nobody becomes silent by that. Expects runs.lua.

local SLICE = 200      -- entries that one script moves at most
local UNKNOWN = 30000  -- ms for which a consumer is believed of which no lease is known

-- How a lease ended, as the scores of P:lost:<queue> say it. Whoever held one run only has died while it ran alone.
local RELEASED, SILENT, SILENT_ALONE, DEAD, DEAD_ALONE = 0, 1, 2, 3, 4

local function lost_of(queue)
  return suffixed('lost', queue)
end

local function death_of(consumer)
  return P .. ':death:' .. consumer
end

-- The first entries that a consumer holds in a queue; none where there is no group, or no stream.
local function pending(queue, consumer, count, first)
  local reply = redis.pcall('XPENDING', stream_of(queue), GROUP, first or '-', '+', count, consumer)
  return reply.err and {} or reply
end

-- Every queue that ever got work, and those that the caller names from here on in ARGV.
local function all_queues(from, to)
  local queues, is_known = redis.call('SMEMBERS', P .. ':queues'), {}
  for _, queue in ipairs(queues) do is_known[queue] = true end
  for at = from, to do
    if not is_known[ARGV[at]] then queues[#queues + 1] = ARGV[at] end
    is_known[ARGV[at]] = true
  end
  return queues
end

-- Deletes a consumer from the group of a queue if nothing hangs on it: its entries would go with it.
local function leave(queue, consumer)
  if #pending(queue, consumer, 1) > 0 then return false end
  redis.pcall('XGROUP', 'DELCONSUMER', stream_of(queue), GROUP, consumer)
  redis.call('ZREM', lost_of(queue), consumer)
  return true
end

-- What was found first stands: some of what a consumer held alone or not may have been taken since.
local function how_lost(queue, consumer, held, is_released, is_dead)
  local known = tonumber(redis.call('ZSCORE', lost_of(queue), consumer) or -1)
  if known >= DEAD or (known >= 0 and not is_dead) then return known end
  if is_released and not is_dead then return RELEASED end
  local is_alone = known == SILENT_ALONE or (known < 0 and held == 1)
  if is_dead then return is_alone and DEAD_ALONE or DEAD end
  return is_alone and SILENT_ALONE or SILENT
end

-- Ends the lease of a consumer: what it holds is to be had in each queue. Tells how many entries that are, and
-- counts no further than SLICE in each queue.
local function expire(consumer, queues, is_released)
  local held, holding_queues = 0, {}
  local is_done = gates.free_orphans(consumer)
  for _, queue in ipairs(queues) do
    local entries = #pending(queue, consumer, SLICE)
    if entries > 0 then holding_queues[#holding_queues + 1] = queue
    elseif is_done then leave(queue, consumer)
    end
    held = held + entries
  end
  -- With its lease stays what is still to be done: the next claim of anybody goes on with it.
  if is_done then redis.call('ZREM', P .. ':leases', consumer) end
  if held == 0 then redis.call('DEL', death_of(consumer)) end
  local is_dead = is_released and redis.call('EXISTS', death_of(consumer)) == 1
  for _, queue in ipairs(holding_queues) do
    redis.call('ZADD', lost_of(queue), how_lost(queue, consumer, held, is_released, is_dead), consumer)
    ring(queue)
  end
  return held
end

-- Gives an entry to who runs it, which is not who has it: its group was lost, or it was begun by hand. It is to be
-- had again when that consumer is silent.
local function hand_to(holder, queue, message)
  redis.call('XCLAIM', stream_of(queue), GROUP, holder, 0, message, 'JUSTID')
  redis.call('ZADD', P .. ':leases', 'NX', integer(own_milliseconds() + UNKNOWN), holder)
end
