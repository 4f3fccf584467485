-- Adds or removes a rule, and tells everybody that the rules have changed.
--
-- direction   strike or restore
-- field       the identity of the rule; 'task:<name>' strikes every execution of a task
-- rule        the rule as its readers understand it
-- returns     the new version of the rules

local strikes = P .. ':strikes'
if direction == 'strike' then redis.call('HSET', strikes, field, rule)
else redis.call('HDEL', strikes, field)
end
local version = redis.call('HINCRBY', strikes, 'version', 1)
redis.call('PUBLISH', strikes, version)
return version
