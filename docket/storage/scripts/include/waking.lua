-- Has workers look again at queues that were paused. Expects runs.lua and pausing.lua.

local function wake(queue)
  ring(queue == '*' and '' or queue)
  for _, one in ipairs(redis.call('SMEMBERS', P .. ':queues')) do
    if queue == '*' or without_priority(one) == queue then ring(one) end
  end
end
