-- How many bytes the results of a docket take. This is an index: what it says of a result is compared with the result
-- whenever it is used. Whoever calls anything here does so by pcall: nothing of it hinders the end of a run. Expects
-- runs.lua.
--
-- P:stored            bytes by class
-- P:stored:<class>    '<size>:<key>' by when the result goes, in ms
--
-- The class of a result is the ms for which it is kept: so the first of a class to go is its oldest as well. Those that
-- are not evicted are of the class KEPT. What is kept elsewhere is not counted.

local STORED = P .. ':stored'
local KEPT = 'kept'
local POINTER = 127   -- first byte of what says that a result is kept elsewhere
local BESIDE = 320    -- bytes that Redis takes for a result and its place here, beside its value and twice its key
local PASSED = 100    -- entries of a class that one look takes away whose results have ended by themselves, and as
                      -- many again as twice the results that may have been stored since the look before
local STEP = 65536    -- bytes that a class may grow by between two looks, a 64th of the limit if that is less: a look
                      -- at each result would cost a tenth of the throughput

local added, count = {}, 0

local function index_of(class)
  return STORED .. ':' .. class
end

-- The key of a member, and how many bytes it counts; nil and 0 if it is none of ours.
local function parsed(member)
  local size, key = string.match(member, '^(%d+):(.*)$')
  if not size or #size > 15 then return nil, 0 end
  return key, tonumber(size) + 2 * #key + BESIDE
end

-- A class that has nothing in it counts nothing: that also ends errors of its sum.
local function change(class, bytes)
  if redis.call('EXISTS', index_of(class)) == 0 then redis.call('HDEL', STORED, class)
  elseif bytes ~= 0 then redis.call('HINCRBY', STORED, class, integer(bytes))
  end
end

-- Counts a result that was just stored, for `ttl` ms. One that is there already is not counted again.
local function note(key, result, ttl, options)
  if string.byte(result) == POINTER then return end
  local class = options and string.find(options, '"once":', 1, true) and KEPT or integer(tonumber(ttl))
  local member = #result .. ':' .. key
  if redis.call('ZADD', index_of(class), integer(own_milliseconds() + ttl), member) == 0 then return end
  local _, bytes = parsed(member)
  added[class] = (added[class] or 0) + bytes
  count = count + 1
end

-- Takes away, at the old end of a class, what has ended by itself; returns how many bytes that had counted.
local function drop_passed(class, most)
  local passed = redis.call('ZRANGEBYSCORE', index_of(class), '-inf', integer(own_milliseconds()), 'LIMIT', '0', integer(most))
  if #passed == 0 then return 0 end
  redis.call('ZREM', index_of(class), unpack(passed))
  local total = 0
  for _, member in ipairs(passed) do
    local _, bytes = parsed(member)
    total = total + bytes
  end
  change(class, -total)
  return total
end

-- Does that in every class; returns the bytes that are left, and the classes.
local function drop_all_passed(most)
  local total, classes = 0, {}
  local known = redis.call('HGETALL', STORED)
  for at = 1, #known, 2 do
    classes[#classes + 1] = known[at]
    total = total + (tonumber(known[at + 1]) or 0) - drop_passed(known[at], most)
  end
  return total, classes
end

-- Counts what the script has stored; returns true if a class has grown by a step, or is beyond the limit by itself.
local function count_added(limit, step)
  local is_due = false
  for class, bytes in pairs(added) do
    local sum = redis.call('HINCRBY', STORED, class, integer(bytes))
    is_due = is_due or sum > limit or math.floor(sum / step) ~= math.floor((sum - bytes) / step)
  end
  return is_due
end

-- Called when a script has stored results: the oldest make room for them. Returns how many were evicted.
local function bound(limit)
  local step = math.min(STEP, limit / 64)
  if not count_added(limit, step) then return 0 end
  local total, classes = drop_all_passed(2 * (count + math.ceil(step / BESIDE)) + PASSED)
  return total > limit and evicting.make_room(classes, total, limit) or 0
end
