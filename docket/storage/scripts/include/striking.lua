-- Rules in force: expects nothing.

local strikes = P .. ':strikes'
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function impose(field, action, ends, rule)
  redis.call('HSET', strikes, field, string.format('%s %s %.0f\n', action, ends, now) .. rule)
end

-- Removes what is over; returns how many rules that were.
local function expire()
  local over = 0
  local fields = redis.call('HGETALL', strikes)
  for at = 1, #fields, 2 do
    local its_end = string.match(fields[at + 1], '^%a+ (%d+) ')
    if its_end and its_end ~= '0' and tonumber(its_end) <= now then
      redis.call('HDEL', strikes, fields[at])
      over = over + 1
    end
  end
  return over
end

-- Tells everybody that the rules have changed; returns the version before. A version is random, and whoever
-- finds another one than its own reads again: where the data fall back, a number would come again.
local function tell(version)
  local before = redis.call('HGET', strikes, 'version') or ''
  redis.call('HSET', strikes, 'version', version)
  say_format()
  publish(strikes, version)
  return before
end
