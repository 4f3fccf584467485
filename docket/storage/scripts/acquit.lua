--! include runs
--! include strikes
--! include parking
-- Puts back what rules have parked that are no longer in force, each for its own due time: a slice per call.
--
-- returns   {1 if there may be more, {keys whose record cannot be read}, key, task, key, task, ...}

for _, group in ipairs(redis.call('SMEMBERS', P .. ':parked-groups')) do
  local rule = string.match(group, '^struck:(.*)$')
  if rule and unread > 0 and not action_of(rule, now) then release_group(group, SLICE) end
end
for queue in pairs(bells) do ring(queue) end
return reply()
