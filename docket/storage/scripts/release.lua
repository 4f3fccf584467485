--! include runs
-- Ends all leases of a worker that is known to be dead, so that the next claim takes its work over.
--
-- consumer   the name that the dead worker had in the consumer group
-- REST...    queues ('' is the default queue)
-- returns    how many leases were ended; call again while it is SLICE

local SLICE = 100
local EXPIRED = 864000000   -- ms; longer than any lease
local released = 0
for at = REST, #ARGV do
  local queue = ARGV[at]
  local stream = stream_of(queue)
  local pending = redis.pcall('XPENDING', stream, GROUP, '-', '+', SLICE, consumer)
  if not pending.err and #pending > 0 then
    for _, entry in ipairs(pending) do
      redis.call('XCLAIM', stream, GROUP, 'released', 0, entry[1], 'IDLE', EXPIRED, 'JUSTID')
    end
    released = math.max(released, #pending)
    redis.call('DEL', P .. ':sweep:' .. queue)
    ring(queue)
  end
end
return released
