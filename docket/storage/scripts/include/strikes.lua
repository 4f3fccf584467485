-- Rules as the scripts see them. Expects runs.lua.
--
-- A field of P:strikes reads "<action> <end in ms, 0 is never> <since in ms>\n" and then what only the
-- readers of the rule understand. A rule that is over has no effect, whether or not it is still there.

-- What the rule of this identity does now: drop, park, or nil if it is not in force. One that delays is its
-- readers' to apply: it keeps nothing from being added, and only puts off what would run.
local function action_of(rule, now)   --! rare
  local text = redis.call('HGET', P .. ':strikes', rule)
  if not text then return nil end
  local action, ends = string.match(text, '^(%a+) (%d+) ')
  if not action or action == 'delay' or (ends ~= '0' and tonumber(ends) <= now) then return nil end
  return action
end

-- Kept, until the rule is no longer in force.
local function park_struck(key, rule, now, due)   --! rare
  parked.park(key, 'struck', now, due, rule)
  local schedule = redis.call('HGET', run_of(key), 'schedule')
  if schedule then turns.turn_over(key, schedule, 'parked', now) end
end
