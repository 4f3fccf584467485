-- Turns. The runs of one schedule that must not overlap take turns: `key` in P:schedule:<id> names the run whose
-- turn it is, the others wait as runs wait for a slot. The end of that run lets the next one in, in the script
-- that records the end: nobody polls, and no crash can come between the two.

local function slot_of(id)
  return 'schedule ' .. id
end

-- What became of a due time of which only the beginning was known: P:outcomes:<id> has few entries.
local function note_what_became(id, key, word, ending)
  local outcomes = P .. ':outcomes:' .. id
  for at, text in ipairs(redis.call('LRANGE', outcomes, 0, -1)) do
    local due, told, of = string.match(text, '^([^\n]*)\n([^\n]*)\n([^\n]*)')
    if of == key then
      if word and (told == 'waits' or told == 'parked') then told = word end
      redis.call('LSET', outcomes, at - 1, table.concat({due, told, key, ending}, '\n'))
      return
    end
  end
end

-- Whether the run that had the turn was superseded, and its body goes on.
local function has_orphan(id)
  local owner = redis.call('HGET', P .. ':schedule:' .. id, 'orphan')
  return owner and redis.call('HEXISTS', P .. ':holding', owner) == 1
end

local function next_turn(id)
  if has_orphan(id) then return end
  -- Its schedule was removed: who waits is cancelled, a slice at a time, and nobody else may slip in between.
  if redis.call('HEXISTS', P .. ':removing', id) == 1 then return end
  local slot = slot_of(id)
  local waiters = P .. ':waiters:' .. slot
  while true do
    local key = redis.call('ZRANGE', waiters, 0, 0)[1]
    if not key then return end
    local known = attempt(redis.call, 'HMGET', run_of(key), 'waits', 'queue', 'generation', 'due')
    if known and known[1] == slot then
      gates.stop_waiting(key, slot)
      local message = put_on_stream(key, known[2], known[3] or FIRST)
      redis.call('HSET', run_of(key), 'state', 'queued', 'message', message)
      redis.call('HSET', P .. ':schedule:' .. id, 'key', key)
      note_what_became(id, key, 'fired')
      announce(key, 'queued', known[4])
      ring(known[2])
      return
    end
    gates.drop_waiter(key, slot)
  end
end

-- Whether a run has the turn of its schedule: it is not over, and its key does not stand for something else by now.
local function has_turn(id, key)
  local run = attempt(redis.call, 'HMGET', run_of(key), 'state', 'schedule')
  return run and run[2] == id and (run[1] == 'scheduled' or run[1] == 'queued' or run[1] == 'running')
end

-- Has a run take the turn, where runs take turns; tells false if another one has it.
local function take_turn(id, key)
  local known = redis.call('HMGET', P .. ':schedule:' .. id, 'overlap', 'key')
  if not known[1] or known[1] == 'allow' then return true end
  if has_orphan(id) or (known[2] and known[2] ~= key and has_turn(id, known[2])) then return false end
  redis.call('HSET', P .. ':schedule:' .. id, 'key', key)
  note_what_became(id, key, 'fired')
  return true
end

-- Those that wait have their turns in the order of their due times.
local function wait_for_turn(id, key, due, now)
  redis.call('ZADD', P .. ':waiters:' .. slot_of(id), due, key)
  redis.call('ZADD', P .. ':waiting', integer(now), key)
  note_what_became(id, key, 'waits')
end

-- Lets the next one in if nobody has the turn.
local function turn_free(id)
  local key = redis.call('HGET', P .. ':schedule:' .. id, 'key')
  if not key or not has_turn(id, key) then next_turn(id) end
end

local function orphan_over(id, owner)
  local schedule = P .. ':schedule:' .. id
  if redis.call('HGET', schedule, 'orphan') ~= owner then return end
  redis.call('HDEL', schedule, 'orphan')
  turn_free(id)
end

-- A run of a schedule is over, for good or until somebody frees it: the next one has its turn, and a schedule
-- whose runs fail one after the other is stopped, whatever pause an operator has put on top of that.
local function turn_over(key, id, state, now)
  local schedule = P .. ':schedule:' .. id
  if state ~= 'parked' then redis.call('ZREM', P .. ':pending:' .. id, key) end
  local known = redis.call('HMGET', schedule, 'key', 'brake', 'stopped')
  if not known[1] then return end   -- removed long ago
  if state == 'completed' then
    redis.call('HDEL', schedule, 'failures')
  elseif state == 'failed' then
    local failures = redis.call('HINCRBY', schedule, 'failures', 1)
    if known[2] and failures >= tonumber(known[2]) and not known[3] then
      redis.call('HSET', schedule, 'stopped', cjson.encode({
        by = 'docket', reason = failures == 1 and 'a run has failed' or failures .. ' runs in a row have failed',
        since = now}))
      redis.call('SADD', P .. ':paused', id)
    end
  end
  local began = redis.call('HGET', run_of(key), 'started')
  note_what_became(id, key, state == 'cancelled' and not began and 'cancelled' or nil,
    state .. ' ' .. (began and integer(now - tonumber(began)) or ''))
  if known[1] == key then next_turn(id) end
end

-- A key stands for something else from now on: the schedule whose run it was goes on without it. A run that was
-- running keeps its turn until its body has ended: runs that take turns do not overlap. `owner` is nil for others.
local function leave_schedule(key, id, owner)
  local schedule = P .. ':schedule:' .. id
  redis.call('ZREM', P .. ':pending:' .. id, key)
  note_what_became(id, key, nil, 'replaced')
  local known = redis.call('HMGET', schedule, 'key', 'overlap')
  if known[1] ~= key then return end
  if owner and known[2] and known[2] ~= 'allow' then
    redis.call('HSET', schedule, 'orphan', owner)
    gates.leave_orphan(owner, redis.call('HGET', run_of(key), 'consumer'), id)
  else next_turn(id)
  end
end
