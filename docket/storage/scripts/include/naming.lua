-- What a schedule is called inside. Its state, its turns and its runs carry the name under which it was first declared,
-- so that a renaming moves none of them, however many they are; where that is another name, P:schedules says so.

local SCHEDULES = P .. ':schedules'

local function inner_name(id)
  return redis.call('HGET', SCHEDULES, 'alias:' .. id) or id
end

-- Whether the state under an inner name is that of this schedule, or nobody's.
local function belongs(id, inner)
  return (redis.call('HGET', P .. ':schedule:' .. inner, 'name') or inner) == id
end
