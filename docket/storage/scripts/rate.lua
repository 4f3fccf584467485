--! include runs
-- A sliding log: lets at most `limit` starts through in any window, and gives each of the others a moment
-- of its own, so that nobody has to ask twice.
--
-- verb      take, or undo (the start did not take place after all)
-- name      whose log
-- key       the execution that asks
-- owner     the run that asks; asking again is answered as before
-- limit     starts per window
-- window    ms
-- drop      1: a start that is too many gets no moment
-- returns   0 to start now, else the ms to wait; -1 if it is dropped
--
-- Starts are counted when they take place, whenever they were meant to: the limit holds for what happens.
-- A moment that nobody comes for (its execution was cancelled) is forgotten a window later.

local starts, moments = P .. ':rate:' .. name, P .. ':moments:' .. name
local limit, window = tonumber(limit), tonumber(window)
local now = milliseconds()
if verb == 'undo' then
  redis.call('ZREM', starts, owner)
  return 0
end
if redis.call('ZSCORE', starts, owner) then return 0 end
redis.call('ZREMRANGEBYSCORE', starts, '-inf', integer(now - window))
redis.call('ZREMRANGEBYSCORE', moments, '-inf', integer(now - window))

local function score(log, back)
  local found = redis.call('ZREVRANGE', log, back, back, 'WITHSCORES')[2]
  return found and tonumber(found)
end

-- Before this one come all starts, then the moments ahead of it: a window after the limit-th latest of
-- them there is room.
local total = redis.call('ZCARD', moments)
local ahead = redis.call('ZRANK', moments, key) or total
local bar
if ahead >= limit then bar = math.max(now, score(moments, total - 1 - (ahead - limit)))
else bar = score(starts, limit - ahead - 1) end
local room = bar and bar + window or now

if room <= now then
  redis.call('ZREM', moments, key)
  redis.call('ZADD', starts, integer(now), owner)
  redis.call('PEXPIRE', starts, window)
  return 0
end
if drop == '1' then return -1 end
redis.call('ZADD', moments, integer(room), key)
redis.call('PEXPIREAT', moments, integer(math.max(room, score(moments, 0)) + window))
return integer(room - now)
