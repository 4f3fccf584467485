--! include runs
--! include strikes
--! include adding
--! include cancelling
--! include outcomes
--! include naming
--! include pausing
--! include reconciling
-- Claims one due time of a schedule and enqueues its execution, together: never two for one due time,
-- whatever number of hosts try.
--
-- id         owner/name of the schedule
-- expected   the next time (ms) that the caller knows
-- following  the next time (ms) after this one; 0 if there is none
-- due        the due time (ms) of the execution: later than expected where earlier ones are not made up for
-- key, task, call   the execution of this tick; no key: the due time passes without one
-- overlap    what becomes of it while the run before it is not over: skip, queue_one, queue_all, cancel_running, allow
-- limit      how many runs there are in all; 0 is any number
-- rests      '1' if the next time is known only when this run is over
-- ttl        ms for which a run is remembered that is cancelled
-- missed, late   how many due times before this one have passed without a run, and how many of them because it is
--            too late for them
-- digest     SHA-1 of the definition that the caller knows; '' is any
-- queue, options   those of the execution, as schedule.lua takes them
-- returns    {word, next time now in force, more}: FIRED, WAITS (for the run before it), STRUCK, SKIPPED (more: paused,
--            asked, limit, struck, overlap; and who paused it as JSON), PASSED, MOVED if somebody else was first, or
--            CHANGED if the definition in force is another one

-- The commit in force may not have come to this schedule yet: then this is when it does.
local owner, name = string.match(id, '^([^/]*)/(.*)$')
local token = redis.call('HGET', P .. ':staging:' .. owner, 'token')
if token and not bring(owner, name, token) then return {'MOVED', '0', '', ''} end

local inner = inner_name(id)
local state = P .. ':schedule:' .. inner
local slot = turns.slot_of(inner)
local waiters = P .. ':waiters:' .. slot

local function count_skipped(reason, count, at, run)
  if count <= 0 then return end
  redis.call('HINCRBY', state, 'skipped:' .. reason, count)
  note_outcome(inner, at, reason .. ' ' .. integer(count), run)
end

local function move_to(time)
  redis.call('HSET', P .. ':schedules', 'next:' .. id, time)
  return time
end

local function skip(reason, time, who)
  count_skipped(reason, 1, due, key)
  return {'SKIPPED', move_to(time), reason, who or ''}
end

-- That of an operator, or that which a row of failures has put there: neither takes the other's place.
local function pause_in_force()
  local known = redis.call('HMGET', state, 'pause', 'stopped')
  if known[1] then
    local ends = end_of_pause(known[1])
    if not ends or ends > now then return known[1] end
    redis.call('HDEL', state, 'pause')
  end
  return known[2]
end

-- The run before this one, if it is not over.
local function former_run()
  local known = redis.call('HGET', state, 'key')
  if known and (turns.has_turn(inner, known) or turns.has_orphan(inner)) then return known end
  -- Whoever had the turn is gone without a word: it was lost.
  if redis.call('EXISTS', waiters) == 0 then return nil end
  turns.next_turn(inner)
  known = redis.call('HGET', state, 'key')
  return known and turns.has_turn(inner, known) and known
end

local known = redis.call('HGET', P .. ':schedules', 'next:' .. id)
if known ~= expected then return {'MOVED', known or '0', '', ''} end
if (digest or '') ~= '' and redis.sha1hex(redis.call('HGET', SCHEDULES, 'definition:' .. id) or '') ~= digest then
  return {'CHANGED', known, '', ''}
end
count_skipped('window', tonumber(late), expected, '')
count_skipped('missed', tonumber(missed) - tonumber(late), expected, '')
if key == '' then return {'PASSED', move_to(following), '', ''} end

local runs = tonumber(redis.call('HGET', state, 'runs') or 0)
local most = tonumber(limit)
if most > 0 and runs >= most then return skip('limit', '0') end
local paused = pause_in_force()
if paused then return skip('paused', following, paused) end
local asked = redis.call('HGET', state, 'skip')
if asked and tonumber(asked) <= tonumber(due) then
  redis.call('HDEL', state, 'skip')
  -- One that was missed anyway has been skipped by that.
  if asked == due then return skip('asked', following) end
end

local former = overlap ~= 'allow' and former_run()
local waits
if former then
  if overlap == 'skip' or (overlap == 'queue_one' and redis.call('ZCARD', waiters) > 0) then
    return skip('overlap', following)
  elseif overlap == 'cancel_running' then
    -- What was superseded cannot be reached by its key, which stands for something else.
    if turns.has_turn(inner, former) then cancel(former, ttl) end
  else waits = slot
  end
end

local reply = add('add', key, '*', 0, task, call, queue, '1', '', nil, nil, nil, waits, options)
if reply[1] == 'STRUCK' and reply[2] ~= 'parked' then return skip('struck', following) end
redis.call('HSET', run_of(key), 'schedule', inner)
redis.call('ZADD', P .. ':pending:' .. inner, integer(now), key)
redis.call('HSET', state, 'last', due, 'runs', integer(runs + 1))
remember_run(inner, due)
if most > 0 and runs + 1 >= most then following = '0' end
if rests == '1' and reply[2] ~= 'parked' then following = '0' end
move_to(following)
if reply[2] == 'parked' then
  note_outcome(inner, due, 'parked', key)
  return {'STRUCK', following, 'parked', ''}
elseif waits then
  turns.wait_for_turn(inner, key, due, now)
  note_outcome(inner, due, 'waits', key)
  return {'WAITS', following, former, ''}
end
redis.call('HSET', state, 'key', key)
note_outcome(inner, due, 'fired', key)
ring_bells()
return {'FIRED', following, '', ''}
