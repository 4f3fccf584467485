-- Pauses of schedules and queues. Expects nothing.
--
-- P:paused-queues has a field for each queue that operators have paused ('' is the default queue, '*' every one), and
-- one with 'file' and a newline in front for each that files have: a queue is paused as long as either is there.

-- When a pause ends (ms); nil is never. One that cannot be read is in force until somebody takes it back.
local function end_of_pause(text)
  local ok, told = pcall(cjson.decode, text)
  return ok and type(told) == 'table' and tonumber(told['until']) or nil
end

-- The queue of which this is a priority, or the queue itself: a pause of a queue is one of its priorities, too.
local function without_priority(queue)   --! rare
  local base = string.match(queue, '^(.*)/high$') or string.match(queue, '^(.*)/low$') or queue
  return base == 'default' and '' or base
end

-- The fields that pause a queue.
local function pauses_of(queue)   --! rare
  local base = without_priority(queue)
  return '*', queue, base, 'file\n*', 'file\n' .. queue, 'file\n' .. base
end
