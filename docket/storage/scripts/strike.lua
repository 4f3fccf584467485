-- Adds or removes a rule, removes those that are over, and tells everybody if the rules have changed.
--
-- direction   strike, restore, or expire (remove only what is over)
-- field       the identity of the rule; 'task:<name>' strikes every execution of a task
-- rule        the rule as its readers understand it
-- action      drop: what is struck is cancelled; park: it is kept until the rule is no longer in force
-- ends        ms at which the rule is over; 0 is never
-- lasts       ms after which the rule is over, in the place of `ends`; 0 leaves that to `ends`
-- returns     {version of the rules, how many were over, since when the rule is in force, its end}. The
--             version is the time in us, so that it never falls, not even after the data was lost

local strikes = P .. ':strikes'
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local is_changed = direction ~= 'expire'
local over = 0

if tonumber(lasts) > 0 then ends = string.format('%.0f', now + lasts) end
if direction == 'strike' then
  redis.call('HSET', strikes, field, string.format('%s %s %.0f\n', action, ends, now) .. rule)
elseif direction == 'restore' then
  redis.call('HDEL', strikes, field)
end
local fields = redis.call('HGETALL', strikes)
for at = 1, #fields, 2 do
  local its_end = string.match(fields[at + 1], '^%a+ (%d+) ')
  if its_end and its_end ~= '0' and tonumber(its_end) <= now then
    redis.call('HDEL', strikes, fields[at])
    over = over + 1
    is_changed = true
  end
end

local before = redis.call('HGET', strikes, 'version') or '0'
if not is_changed then return {before, 0, '0', '0'} end
local version = time[1] * 1000000 + time[2]
if version <= tonumber(before) then version = before + 1 end
version = string.format('%.0f', version)
redis.call('HSET', strikes, 'version', version)
redis.call('PUBLISH', strikes, version)
return {version, over, string.format('%.0f', now), ends}
