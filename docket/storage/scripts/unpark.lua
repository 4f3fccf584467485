--! include runs
-- Puts parked executions of known tasks back on their queues: a slice per call.
--
-- reason    only those that were parked for this reason
-- cursor    where the last call ended; 0 at first
-- quiet     '1' if the caller takes it up itself, and nobody else is woken
-- most      so many at most; 0 is any number
-- REST...   the tasks that are known now
-- returns   {cursor (0 at the end), key, task, key, task, ...}

local SLICE = 200
local known = {}
for at = REST, #ARGV do known[ARGV[at]] = true end
local scan = redis.call('ZSCAN', P .. ':parked', cursor, 'COUNT', SLICE)
local reply = {scan[1]}
most = most == '0' and SLICE * SLICE or tonumber(most)
for at = 1, #scan[2], 2 do
  local key = scan[2][at]
  local run = run_of(key)
  local fields = redis.call('HMGET', run, 'state', 'reason', 'task', 'queue', 'generation', 'due')
  if fields[1] ~= 'parked' then
    redis.call('ZREM', P .. ':parked', key)
  elseif most == 0 then
    reply[1] = '0'
  elseif fields[2] == reason and known[fields[3]] then
    most = most - 1
    redis.call('ZREM', P .. ':parked', key)
    local generation = integer(tonumber(fields[5] or FIRST) + 1)
    local message = put_on_stream(key, fields[4], generation)
    redis.call('HSET', run, 'state', 'queued', 'generation', generation, 'message', message)
    redis.call('HDEL', run, 'reason')
    announce(key, 'queued', fields[6])
    if quiet ~= '1' then ring(fields[4]) end
    reply[#reply + 1] = key
    reply[#reply + 1] = fields[3]
  end
end
return reply
