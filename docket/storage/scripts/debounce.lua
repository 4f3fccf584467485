--! include runs
-- Lets one of many submissions through, when they have settled.
--
-- name       whose submissions
-- key        the execution that asks
-- settle     ms of quiet after which the winner may start
-- max_wait   ms after which it may in any case; 0 is never
-- returns    0 to start now, else the ms to wait; -1 if another submission stands for this one
--
-- The first submission wins and comes back until it is quiet. A winner that has come to its end elsewhere
-- (cancelled, struck) is followed by whoever asks next.

local mark = P .. ':debounce:' .. name
local settle, max_wait = tonumber(settle), tonumber(max_wait)
local now = milliseconds()
local known = redis.call('HMGET', mark, 'winner', 'first', 'last')
local winner = known[1]

local function is_live(other)
  local state = redis.call('HGET', run_of(other), 'state')
  return state and state ~= 'completed' and state ~= 'failed' and state ~= 'cancelled'
end

local function forget_later()
  redis.call('PEXPIRE', mark, math.max(60000, (settle + max_wait) * 10))
end

if not winner or (winner ~= key and not is_live(winner)) then
  redis.call('HSET', mark, 'winner', key, 'first', integer(now), 'last', integer(now))
  forget_later()
  return integer(settle)
end
if winner ~= key then
  redis.call('HSET', mark, 'last', integer(now))
  forget_later()
  return -1
end
local rest = tonumber(known[3]) + settle - now
if max_wait > 0 then rest = math.min(rest, tonumber(known[2]) + max_wait - now) end
if rest > 0 then
  forget_later()
  return integer(rest)
end
redis.call('DEL', mark)
return 0
