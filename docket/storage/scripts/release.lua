--! include runs
--! include full
-- Ends the lease of a worker that is known to be gone, so that others take its work over at once. If its process
-- has died by itself, what it ran becomes suspect.
--
-- consumer   the name that it had in the consumer group
-- death      how its process died, in words; '' if it was ended on purpose, which is no crash
-- REST...    queues to look at beside those that are known ('' is the default queue)
-- returns    how many entries it held that are to be had now; after a death, call again until there are none

local DAY = 86400000
local queues = leases.all_queues(REST, #ARGV)
redis.call('ZADD', P .. ':leases', 0, consumer)
if death ~= '' then redis.call('SET', leases.death_of(consumer), death, 'NX', 'PX', DAY) end
local held = leases.expire(consumer, queues, true)
if death == '' then return held end
local moved = 0
for _, queue in ipairs(queues) do
  local how = redis.call('ZSCORE', leases.lost_of(queue), consumer)
  if how and moved < leases.SLICE then moved = moved + suspects.suspect_all(queue, consumer, tonumber(how) == leases.DEAD_ALONE, leases.SLICE - moved) end
end
return moved
