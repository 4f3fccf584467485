--! include runs
-- Takes a slot of a concurrency limit for a message that a worker holds.
--
-- slot      the limit
-- size      how many slots it has
-- queue     the queue of the message ('' is the default queue)
-- message   who takes the slot
-- returns   1 if the message holds a slot now, 0 if it must wait (its settlement says so)
--
-- A message that was granted a slot while it waited, or that is delivered again, holds one already;
-- it counts only within the size, which may have shrunk meanwhile. A newcomer goes behind those that wait:
-- its settlement lets the first of them in, should a slot be free.

local STALE = 60000   -- ms after which the longest holder is looked at, should its message be gone
local slots = P .. ':slots:' .. slot
local sizes = P .. ':sizes'
local waited_for = redis.call('HGET', sizes, slot)
if waited_for and waited_for ~= size then
  redis.call('HSET', sizes, slot, size)
  grant(slot)
end
local rank = redis.call('ZRANK', slots, holder_of(queue, message))
if rank then return rank < tonumber(size) and 1 or 0 end

local function is_on_stream(of_queue, number)
  return #redis.call('XRANGE', stream_of(of_queue), number, number) > 0
end

local function is_gone(member, since)
  if milliseconds() - since < STALE then return false end
  local at = string.find(member, '\n', 1, true)
  return not is_on_stream(string.sub(member, 1, at - 1), string.sub(member, at + 1))
end

if redis.call('ZCARD', slots) >= tonumber(size) then
  local longest = redis.call('ZRANGE', slots, 0, 0, 'WITHSCORES')
  if not is_gone(longest[1], tonumber(longest[2])) then return 0 end
  redis.call('ZREM', slots, longest[1])
  redis.call('HDEL', P .. ':holding', longest[1])
end
if waited_for and redis.call('HEXISTS', sizes, slot) == 1 then return 0 end
-- A run whose message was settled by somebody else would keep its slot for good.
if not is_on_stream(queue, message) then return 0 end
give_slot_back(queue, message)   -- of another limit: its task is under this one now
take_slot(slot, size, queue, message)
return 1
