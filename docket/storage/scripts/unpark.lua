--! include runs
--! include parking
-- Puts parked executions back on their queues: a slice per call.
--
-- quiet     '1' if the caller takes it up itself, and nobody else is woken
-- most      so many at most; 0 is any number
-- REST...   the groups (<reason>:<task>) that can be run now
-- returns   {1 if there may be more, {keys whose record cannot be read}, key, task, key, task, ...}

local most = most == '0' and SLICE or tonumber(most)
for at = REST, #ARGV do release_group(ARGV[at], most - #released / 2) end
if quiet ~= '1' then
  for queue in pairs(bells) do ring(queue) end
end
return reply()
