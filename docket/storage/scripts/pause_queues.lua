--! include runs
--! include full
--! include pausing
--! include waking
-- Has nothing of some queues started, or again; what runs goes on. What files pause is left as it is.
--
-- verb      pause or resume
-- pause     who, why, since and until when, as JSON
-- REST...   queues ('' is the default queue, '*' every one)
-- returns   per queue: 1 if that has changed anything

local PAUSED = P .. ':paused-queues'
local now = milliseconds()

-- Those that have ended by themselves: workers only read them.
local pauses = redis.call('HGETALL', PAUSED)
for at = 1, #pauses, 2 do
  local ends = end_of_pause(pauses[at + 1])
  if ends and ends <= now then redis.call('HDEL', PAUSED, pauses[at]) end
end

local replies = {}
for at = REST, #ARGV do
  local queue = ARGV[at]
  if verb == 'pause' then
    redis.call('HSET', PAUSED, queue, pause)
    replies[#replies + 1] = 1
  else
    replies[#replies + 1] = redis.call('HDEL', PAUSED, queue)
    wake(queue)
  end
end
return replies
