--! include runs
-- Ends all leases of a worker that is known to be dead, so that the next claim takes its work over.
--
-- consumer   the name that the dead worker had in the consumer group
-- REST...    queues ('' is the default queue)
-- returns    how many leases were ended; call again while it is SLICE

local SLICE = 100
local released = 0
for at = REST, #ARGV do
  local queue = ARGV[at]
  local pending = redis.pcall('XPENDING', stream_of(queue), GROUP, '-', '+', SLICE, consumer)
  if not pending.err and #pending > 0 then
    for _, entry in ipairs(pending) do end_lease(queue, entry[1]) end
    released = math.max(released, #pending)
  end
end
return released
