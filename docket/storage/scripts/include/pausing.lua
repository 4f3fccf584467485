-- When a pause ends (ms); nil is never. One that cannot be read is in force until somebody resumes the schedule.
local function end_of_pause(text)
  local ok, told = pcall(cjson.decode, text)
  return ok and type(told) == 'table' and tonumber(told['until']) or nil
end

-- The queue of which this is a priority, or the queue itself: a pause of a queue is one of its priorities, too.
local function without_priority(queue)   --! rare
  local base = string.match(queue, '^(.*)/high$') or string.match(queue, '^(.*)/low$') or queue
  return base == 'default' and '' or base
end
