--! include pausing
-- Which schedules of an owner are paused, by an operator or after a row of failures.
--
-- owner     whose schedules
-- returns   per schedule: its name, the pause of an operator as JSON or '', what has stopped it as JSON or ''
--
-- P:paused names all that may be, by their inner names, so that nobody has to read what has happened to every schedule.
-- Which of them are is found here, and the others are forgotten.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function pause_in_force(text)
  local ends = text and end_of_pause(text)
  return text and (not ends or ends > now) and text or ''
end

local found = {}
for _, inner in ipairs(redis.call('SMEMBERS', P .. ':paused')) do
  local known = redis.call('HMGET', P .. ':schedule:' .. inner, 'name', 'pause', 'stopped')
  local id, pause, stopped = known[1] or '', pause_in_force(known[2]), known[3] or ''
  if pause == '' and stopped == '' then redis.call('SREM', P .. ':paused', inner)
  -- What was removed keeps its pause, should it come back.
  elseif string.sub(id, 1, #owner + 1) == owner .. '/' and redis.call('HEXISTS', P .. ':schedules', 'definition:' .. id) == 1 then
    for _, one in ipairs({string.sub(id, #owner + 2), pause, stopped}) do found[#found + 1] = one end
  end
end
return found
