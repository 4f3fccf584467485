--! include runs
-- Has executions run that are scheduled for later; a pause between two attempts ends.
--
-- REST...   keys
-- returns   per key: DONE (it is due now), WAITS (for a slot of a limit, or its turn), UNKNOWN, FAILED (its record is
--           damaged), or the state that it is in

local now = integer(milliseconds())
local bells = {}

local function run_now(key)
  local run = run_of(key)
  local state, queue, generation, waits = unpack(redis.call('HMGET', run, 'state', 'queue', 'generation', 'waits'))
  if not state then return 'UNKNOWN' end
  if state ~= 'scheduled' then return state end
  if redis.call('ZREM', P .. ':queue', key) == 0 then return waits and 'WAITS' or 'LOST' end
  local message = put_on_stream(key, queue, generation or FIRST)
  redis.call('HDEL', run, 'when')
  redis.call('HSET', run, 'state', 'queued', 'message', message, 'due', now)
  announce(key, 'queued', now)
  bells[queue or ''] = true
  return 'DONE'
end

local replies = {}
for at = REST, #ARGV do replies[#replies + 1] = attempt(run_now, ARGV[at]) or 'FAILED' end
for queue in pairs(bells) do ring(queue) end
return replies
