--! include runs
--! include naming
-- When schedules are due next that are counted from the end of their runs, as far as these are over.
--
-- REST...   per schedule: owner/name, period (ms), limit (0: none), end (ms; 0: none)
-- returns   per schedule: its next time (ms); 0 if its run is not over yet, or it is not due any more

local ALIVE = {scheduled = true, queued = true, running = true}

local function due_next(id, period, limit, ends)
  local field = 'next:' .. id
  local known = redis.call('HGET', P .. ':schedules', field)
  local state = redis.call('HMGET', P .. ':schedule:' .. inner_name(id), 'key', 'runs')
  if known ~= '0' or not state[1] then return known or '0' end
  if limit > 0 and tonumber(state[2] or 0) >= limit then return '0' end
  local run = redis.call('HMGET', run_of(state[1]), 'state', 'completed')
  if ALIVE[run[1]] or turns.has_orphan(inner_name(id)) then return '0' end
  local due = tonumber(run[2] or milliseconds()) + period
  if ends > 0 and due >= ends then return '0' end
  redis.call('HSET', P .. ':schedules', field, integer(due))
  return integer(due)
end

local replies = {}
for at = REST, #ARGV, 4 do
  replies[#replies + 1] = due_next(ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]))
end
return replies
