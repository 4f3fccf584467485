--! include runs
--! include strikes
-- Puts back what a rule has parked that is no longer in force, each for its own due time: a slice per call.
--
-- cursor    where the last call ended; 0 at first
-- returns   {cursor (0 at the end), key, task, key, task, ...}

local SLICE = 200
local now = milliseconds()
local scan = redis.call('ZSCAN', P .. ':parked', cursor, 'COUNT', SLICE)
local reply = {scan[1]}

local function put_back(key, queue, generation, due)
  local run = run_of(key)
  generation = integer(tonumber(generation or FIRST) + 1)
  redis.call('ZREM', P .. ':parked', key)
  redis.call('HDEL', run, 'reason', 'strike')
  if tonumber(due) > now then
    redis.call('HSET', run, 'state', 'scheduled', 'generation', generation)
    put_in_future(key, queue, due)
    announce(key, 'scheduled', due)
  else
    local message = put_on_stream(key, queue, generation)
    redis.call('HSET', run, 'state', 'queued', 'generation', generation, 'message', message)
    announce(key, 'queued', due)
    ring(queue)
  end
end

for at = 1, #scan[2], 2 do
  local key = scan[2][at]
  local known = redis.call('HMGET', run_of(key), 'state', 'strike', 'task', 'queue', 'generation', 'due')
  if known[1] == 'parked' and known[2] and not action_of(known[2], now) then
    put_back(key, known[4], known[5], known[6])
    reply[#reply + 1] = key
    reply[#reply + 1] = known[3]
  end
end
return reply
