-- A part of claim.lua: the thorough look.

-- Consumers that hold something and have no lease were forgotten, as by a failover that lost writes: they get time
-- to renew it. How long their own lease is nobody knows. What this worker has and does not know of is counted, too: a
-- run that it gave up without a word, or a reply that was lost in another way.
local own = 0

local function look_for_unknown(queue)
  local reply = redis.pcall('XPENDING', stream_of(queue), GROUP)
  if reply.err or type(reply[4]) ~= 'table' then return end
  for _, entry in ipairs(reply[4]) do
    if entry[1] == consumer then own = own + tonumber(entry[2])
    elseif not redis.call('ZSCORE', leases.lost_of(queue), entry[1]) then
      redis.call('ZADD', P .. ':leases', 'NX', integer(true_now + math.max(lease, leases.UNKNOWN)), entry[1])
    end
  end
end

for_each_queue(look_for_unknown)
if redis.call('EXISTS', P .. ':stored') == 1 then pcall(evicting.sweep) end
if own > held + #claimed then is_recovered = false end
redis.call('ZADD', P .. ':leases', 'NX', integer(true_now + math.max(lease, IDLE)), consumer)
