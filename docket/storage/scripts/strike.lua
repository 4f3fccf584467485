--! include striking
--! include full
-- Adds or removes a rule, removes those that are over, and tells everybody if the rules have changed.
--
-- direction   strike, restore, or expire (remove only what is over)
-- field       the identity of the rule; 'task:<name>' strikes every execution of a task
-- rule        the rule as its readers understand it
-- action      drop: what is struck is cancelled; park: it is kept until the rule is no longer in force;
--             delay: it is put off by those who know the rule
-- ends        ms at which the rule is over; 0 is never
-- lasts       ms after which the rule is over, in the place of `ends`; 0 leaves that to `ends`
-- version     made for this call: which version of the rules they are after it
-- returns     {version of the rules before, how many were over, since when the rule is in force, its end}

if tonumber(lasts) > 0 then ends = string.format('%.0f', now + lasts) end
if direction == 'strike' then
  impose(field, action, ends, rule)
elseif direction == 'restore' then
  redis.call('HDEL', strikes, field)
end
local over = expire()
if direction == 'expire' and over == 0 then return {redis.call('HGET', strikes, 'version') or '', 0, '0', '0'} end
return {tell(version), over, string.format('%.0f', now), ends}
