--! include runs
--! include strikes
--! include adding
-- Claims one due time of a schedule and enqueues its execution, together: never two for one due time,
-- whatever number of hosts try.
--
-- id         owner/name of the schedule
-- expected   the next time (ms) that the caller knows
-- following  the next time (ms) after this one; 0 if there is none
-- key, task, call   the execution of this tick; no key: the due time passes without one
-- returns    {word, next time now in force}: FIRED, STRUCK, SKIPPED, or MOVED if somebody else was first

local next_field = 'next:' .. id
local known = redis.call('HGET', P .. ':schedules', next_field)
if known ~= expected then return {'MOVED', known or '0'} end
if key == '' then
  redis.call('HSET', P .. ':schedules', next_field, following)
  return {'SKIPPED', following}
end
local reply = add('add', key, '*', 0, task, call, '', '1', '')
redis.call('HSET', P .. ':schedules', next_field, following, 'last:' .. id, expected)
ring_bells()
return {reply[1] == 'STRUCK' and 'STRUCK' or 'FIRED', following}
