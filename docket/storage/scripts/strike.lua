-- Adds or removes a rule, and tells everybody that the rules have changed.
--
-- direction   strike or restore
-- field       the identity of the rule; 'task:<name>' strikes every execution of a task
-- rule        the rule as its readers understand it
-- returns     the new version of the rules: the time in us, so that it never falls, not even after the
--             data was lost

local strikes = P .. ':strikes'
if direction == 'strike' then redis.call('HSET', strikes, field, rule)
else redis.call('HDEL', strikes, field)
end
local time = redis.call('TIME')
local version = time[1] * 1000000 + time[2]
local before = tonumber(redis.call('HGET', strikes, 'version') or 0)
if version <= before then version = before + 1 end
version = string.format('%.0f', version)
redis.call('HSET', strikes, 'version', version)
redis.call('PUBLISH', strikes, version)
return version
