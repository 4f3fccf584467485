-- What the scripts share: the names of keys, and the verbs that move one execution.
-- Expects P, the prefix of the docket.

local GROUP = 'docket-workers'
local FIRST = '1'            -- the generation of a record that holds none: the first one
local DEAD_LETTERS = 10000   -- the oldest beyond this many are forgotten

local function milliseconds()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function integer(number)
  return string.format('%.0f', number)
end

local function run_of(key)
  return P .. ':runs:' .. key
end

-- Does something about one execution of many. A key that is not what it should be (somebody wrote
-- another type there) must not take the others with it: then the answer is nil and what the server said.
-- Anything else, such as a full memory, concerns them all.
local function attempt(work, ...)
  local ok, reply = pcall(work, ...)
  if ok then return reply end
  local text = type(reply) == 'table' and reply.err or tostring(reply)
  if string.find(text, 'WRONGTYPE', 1, true) then return nil, text end
  return error(text, 0)
end

-- The default queue is the one without a name.
local function stream_of(queue)
  if queue and queue ~= '' then return P .. ':stream:' .. queue end
  return P .. ':stream'
end

-- Where runs wait that were in flight in a process that died: not on the stream.
local function suspects_of(queue)
  if queue and queue ~= '' then return P .. ':suspects:' .. queue end
  return P .. ':suspects'
end

-- One token at most, so that a thousand adds wake one idle worker, not a thousand.
local function ring(queue)
  local bell = P .. ':bell'
  if queue and queue ~= '' then bell = bell .. ':' .. queue end
  if redis.call('LLEN', bell) == 0 then redis.call('RPUSH', bell, '1') end
end

-- The event of a new state: six lines, the error last because it may hold newlines.
local function announce(key, state, due, worker, started, completed, error)
  publish(P .. ':state:' .. key, table.concat({
    state, due or '', worker or '', started or '', completed or '', error or ''}, '\n'))
end

-- Which shape the arguments of a task have that are added now; nil if it is the first.
local function schema_of(task)
  return redis.call('HGET', P .. ':schemas', task) or nil
end

-- P:queues names every queue that ever got work, for whoever looks for all of it: a route that is taken back, or
-- a queue that a task named only once, must not hide what still lies there.
local function remember_queue(queue)
  redis.call('SADD', P .. ':queues', queue or '')
  say_format()
end

-- Only a queue without a stream is not known yet, and NOMKSTREAM says so: all others cost nothing more.
local function put_on_stream(key, queue, generation)
  local stream = stream_of(queue)
  local message = redis.call('XADD', stream, 'NOMKSTREAM', '*', 'key', key, 'generation', generation)
  if message then return message end
  remember_queue(queue)
  return redis.call('XADD', stream, '*', 'key', key, 'generation', generation)
end

-- Fences. Each is higher than all before it, and at least the server's own time in us: a counter that was
-- lost, or that has fallen back with the rest of the data, does not hand out again what it has handed out.
-- It is read once per script and written once, by keep_fence at the end of the script.

local fences   -- the last one that was handed out; nil before the first

local function next_fence()
  if not fences then
    local time = server.call('TIME')
    fences = math.max(tonumber(redis.call('GET', P .. ':fence') or 0), time[1] * 1000000 + time[2])
  end
  fences = fences + 1
  return integer(fences)
end

local function keep_fence()
  if fences then redis.call('SET', P .. ':fence', integer(fences)) end
end

-- A due time as events tell it: ms, and the moment in us where that is not a whole ms.
local function told_due(due, when)
  return when and when ~= '' and due .. ' ' .. when or due
end

-- What people call a consumer: its name without the token that tells one life of a worker from the next.
local function name_of(consumer)
  return string.match(consumer, '^(.*):[^:]*$') or consumer
end

-- The identity of an acceptance: what it was accepted with, or the key, if that was made for the call.
local function identity_of(key, nonce)
  return nonce or key
end

-- The last EIGHT things that a record was once known by, a line each: nonces of calls that others have
-- displaced, and runs whose end was recorded although the record lived on. Whoever has missed an answer, and
-- asks again, is found here.

local EIGHT = 8

local function has_passed(ring, entry)
  return ring and string.find('\n' .. ring .. '\n', '\n' .. entry .. '\n', 1, true) ~= nil
end

local function ring_with(ring, entry)
  local entries = {}
  for known in string.gmatch(ring or '', '[^\n]+') do entries[#entries + 1] = known end
  entries[#entries + 1] = entry
  return table.concat(entries, '\n', math.max(1, #entries - EIGHT + 1))
end

-- Whether a record was accepted with this nonce: a perpetual run has one that nobody asks for.
local function is_of_caller(nonce)
  return nonce and string.sub(nonce, 1, 1) ~= '~'
end

-- A run as such an entry: its fence, and the life of the worker that had it.
local function passed_run(fence, consumer)
  return '#' .. fence .. '/' .. (string.match(consumer, '[^:]*$'))
end

-- Gates. What a run holds or waits for at a gate belongs to its acceptance, not to a message: it stays through
-- waiting, a hand-back and a takeover, and a key that is used again is another owner. The record names the gates
-- (`gates`, as JSON) and the last start that all of them have let in (`admitted`: attempt and fence), so that
-- leave_gates finds all of it without a search, whichever way the run goes.
--
-- P:holding   by owner: the limits of which it holds a slot, and who ran it if it has been superseded, as JSON
-- P:sizes     by limit that somebody waits for: its slots, as its last asker said, and its definition
-- P:limits    'size <definition>': the slots in force of a limit that workers have announced

local GRANTS = 100           -- the most that one call lets in
local FORGOTTEN = 604800000  -- ms after which a winner is no longer heard of whose record somebody has overwritten
local holding                -- whether anything holds a slot; asked once per script

local function owner_of(key, nonce)
  return identity_of(key, nonce) .. '\n' .. key
end

-- Whether an owner has a start before it: its record is still that of its acceptance, and is not over.
local function is_live(owner)
  local identity, key = string.match(owner, '^([^\n]*)\n(.*)$')
  local known = attempt(redis.call, 'HMGET', run_of(key), 'state', 'nonce') or {}
  return known[1] and identity_of(key, known[2]) == identity
    and known[1] ~= 'completed' and known[1] ~= 'failed' and known[1] ~= 'cancelled'
end

-- Announced by workers; nil for a limit that only its askers know.
local function announced_size(definition)
  if not definition or definition == '' then return nil end
  return tonumber(redis.call('HGET', P .. ':limits', 'size ' .. definition) or nil)
end

local function held_by(owner)
  if holding == nil then holding = redis.call('EXISTS', P .. ':holding') == 1 end
  local text = holding and redis.call('HGET', P .. ':holding', owner)
  return text and cjson.decode(text)
end

local function take_slot(key, owner, slot, size)
  if redis.call('ZADD', P .. ':slots:' .. slot, 'NX', integer(milliseconds()), owner) == 1 then
    local held = held_by(owner) or {slots = {}}
    table.insert(held.slots, slot)
    redis.call('HSET', P .. ':holding', owner, cjson.encode(held))
    holding = true
  end
  redis.call('HSET', run_of(key), 'slot', integer(size) .. '\n' .. slot)
end

local function stop_waiting(key, slot)
  local waiters = P .. ':waiters:' .. slot
  redis.call('ZREM', waiters, key)
  redis.call('ZREM', P .. ':waiting', key)
  redis.call('HDEL', run_of(key), 'waits')
  if redis.call('EXISTS', waiters) == 0 then redis.call('HDEL', P .. ':sizes', slot) end
end

-- Lets one that waits go on with the slot already taken for it, so that nobody overtakes it.
local function grant_to(key, slot, size)
  local known = redis.call('HMGET', run_of(key), 'waits', 'queue', 'generation', 'due', 'nonce')
  if known[1] ~= slot then return false end
  stop_waiting(key, slot)
  local message = put_on_stream(key, known[2], known[3] or FIRST)
  redis.call('HSET', run_of(key), 'state', 'queued', 'message', message)
  take_slot(key, owner_of(key, known[5]), slot, size)
  announce(key, 'queued', known[4])
  ring(known[2])
  return true
end

-- Hands the free slots of a limit to those that wait for one, the longest first, `most` at most. Returns how many
-- that were.
local function grant(slot, most)
  local waiters = P .. ':waiters:' .. slot
  local asked, definition = string.match(redis.call('HGET', P .. ':sizes', slot) or '', '^(%d+)\n(.*)$')
  local size = announced_size(definition) or tonumber(asked or 0)
  local free = math.min(size - redis.call('ZCARD', P .. ':slots:' .. slot), most or GRANTS)
  local granted = 0
  while granted < free do
    local key = redis.call('ZRANGE', waiters, 0, 0)[1]
    if not key then break end
    local is_granted, trouble = attempt(grant_to, key, slot, size)
    if is_granted then granted = granted + 1
    else
      redis.call('ZREM', waiters, key)
      if trouble then redis.call('ZREM', P .. ':waiting', key) end
      if redis.call('EXISTS', waiters) == 0 then redis.call('HDEL', P .. ':sizes', slot) end
    end
  end
  return granted
end

-- Returns whether there were any.
local function free_slots(owner)
  local held = held_by(owner)
  if not held then return false end
  redis.call('HDEL', P .. ':holding', owner)
  if held.consumer then redis.call('SREM', P .. ':orphans:' .. held.consumer, owner) end
  for _, slot in ipairs(held.slots) do redis.call('ZREM', P .. ':slots:' .. slot, owner) end
  for _, slot in ipairs(held.slots) do grant(slot) end
  return true
end

-- A record holds something else, so that nobody knows of which acceptance it was: its slots are looked for by
-- their key. What was superseded before is left alone: its body may still run.
local function free_slots_of_wreck(key)
  for _, owner in ipairs(redis.call('HKEYS', P .. ':holding')) do
    if string.match(owner, '\n(.*)$') == key and not held_by(owner).consumer then free_slots(owner) end
  end
end

-- A running run was superseded, and its body goes on: its slots are free when it ends, or when its worker is gone.
local function leave_orphan(owner, consumer)
  local held = held_by(owner)
  if not held then return end
  held.consumer = consumer or ''
  redis.call('HSET', P .. ':holding', owner, cjson.encode(held))
  redis.call('SADD', P .. ':orphans:' .. held.consumer, owner)
end

-- A consumer is gone for good, and with it what it ran. Returns how many owners that were, `most` at most.
local function free_orphans(consumer, most)
  local orphans = redis.call('SMEMBERS', P .. ':orphans:' .. consumer)
  local count = math.min(#orphans, most or GRANTS)
  for at = 1, count do
    free_slots(orphans[at])
    redis.call('SREM', P .. ':orphans:' .. consumer, orphans[at])
  end
  return count
end

-- The last of those that wait for a moment of a rate moves up to one that was given back, so that no moment passes
-- without a start. One that waits for moments of several rates stays where it is.
local function move_up(moments, freed)
  local last = redis.call('ZREVRANGE', moments, 0, 0, 'WITHSCORES')
  if not last[1] or tonumber(last[2]) <= freed then return end
  local identity, key = string.match(last[1], '^([^\n]*)\n(.*)$')
  local known = redis.call('HMGET', run_of(key), 'state', 'nonce', 'gates')
  if known[1] ~= 'scheduled' or identity_of(key, known[2]) ~= identity or not known[3] then return end
  local rates = 0
  for _, gate in ipairs(cjson.decode(known[3])) do
    if gate[1] == 'rate' then rates = rates + 1 end
  end
  if rates > 1 or not redis.call('ZSCORE', P .. ':queue', key) then return end
  redis.call('ZADD', moments, integer(freed), last[1])
  redis.call('HSET', run_of(key), 'due', integer(freed))
  redis.call('ZADD', P .. ':queue', integer(freed), key)
  if redis.call('ZRANGE', P .. ':queue', 0, 0)[1] == key then ring(redis.call('HGET', run_of(key), 'queue')) end
end

local function give_moment_back(rate, owner)
  local moments = P .. ':moments:' .. rate
  local freed = redis.call('ZSCORE', moments, owner)
  if not freed then return end
  redis.call('ZREM', moments, owner)
  attempt(move_up, moments, math.max(tonumber(freed), milliseconds()))
end

local function give_moments_back(owner, gates)
  for _, gate in ipairs(gates and cjson.decode(gates) or {}) do
    if gate[1] == 'rate' then give_moment_back(gate[2], owner) end
  end
end

-- One start of a run: every attempt counts, however often it is delivered.
local function start_of(owner, number)
  return owner .. '\n' .. number
end

-- All gates had let this start in, and then something else did not: it has not taken place. Whoever was to run for
-- many calls still is.
local function undo_start(run, owner, gates, number)
  for _, gate in ipairs(cjson.decode(gates)) do
    local kind, name = gate[1], gate[2]
    if kind == 'rate' then redis.call('ZREM', P .. ':rate:' .. name, start_of(owner, number))
    elseif number ~= '1' then   -- the first attempt has started, and the others are let through by that
    elseif kind == 'cooldown' then
      if redis.call('GET', P .. ':cooldown:' .. name) == owner then redis.call('DEL', P .. ':cooldown:' .. name) end
    elseif kind == 'debounce' and redis.call('EXISTS', P .. ':debounce:' .. name) == 0 then
      local now = integer(milliseconds())
      redis.call('HSET', P .. ':debounce:' .. name, 'winner', owner, 'first', now, 'last', now, 'settled', '1')
      redis.call('PEXPIRE', P .. ':debounce:' .. name, FORGOTTEN)
    end
  end
  if number == '1' then redis.call('HDEL', run, 'admitted')
  else redis.call('HSET', run, 'admitted', integer(tonumber(number) - 1) .. ' 0')
  end
end

-- Takes back what is written of a run at gates, except for its slots. What has started stays counted.
local function leave_marks(key, owner, gates, admitted)
  if not gates then return end
  give_moments_back(owner, gates)
  for _, gate in ipairs(cjson.decode(gates)) do
    local kind, mark = gate[1], P .. ':' .. gate[1] .. ':' .. gate[2]
    if kind == 'debounce' then
      if redis.call('HGET', mark, 'winner') == owner then redis.call('DEL', mark) end
    elseif kind == 'cooldown' and not admitted then
      if redis.call('GET', mark) == owner then redis.call('DEL', mark) end
    end
  end
  redis.call('HDEL', run_of(key), 'gates', 'admitted', 'slot', 'since')
end

-- Gives back everything that a run holds or waits for at gates.
local function leave_gates(key, nonce, gates, admitted)
  local owner = owner_of(key, nonce)
  if free_slots(owner) and not gates then redis.call('HDEL', run_of(key), 'slot') end
  leave_marks(key, owner, gates, admitted)
end

local function take_off_stream(queue, message)
  local stream = stream_of(queue)
  -- pcall: without its group (FLUSHALL) there is nothing to acknowledge.
  redis.pcall('XACK', stream, GROUP, message)
  redis.call('XDEL', stream, message)
end

-- Takes away a message whose record holds something else, and the slots of that run.
local function take_wreck_off(queue, message)
  local entry = redis.call('XRANGE', stream_of(queue), message, message)[1]
  take_off_stream(queue, message)
  if entry then free_slots_of_wreck(entry[2][2]) end
end

-- Waits for its due time; becoming the earliest wakes a worker, which then knows the new time.
local function put_in_future(key, queue, due)
  redis.call('ZADD', P .. ':queue', due, key)
  if redis.call('ZRANGE', P .. ':queue', 0, 0)[1] ~= key then return end
  ring(queue)
  say_format()
end

-- Parking. P:parked holds everything that is parked, by time; P:parked:<group> what is parked for one reason and of one
-- task (by a strike: by one rule), and P:parked-groups the groups that hold anything. So whoever looks for what it can
-- release finds that, and nothing else. The record is the truth: an index is checked against it whenever it is used.

local function parked_group(reason, task, rule)
  return reason .. ':' .. (reason == 'struck' and rule or task or '')
end

local function leave_group(group, key)
  local index = P .. ':parked:' .. group
  redis.call('ZREM', index, key)
  if redis.call('EXISTS', index) == 0 then redis.call('SREM', P .. ':parked-groups', group) end
end

local function leave_parked(key)
  local known = redis.call('HMGET', run_of(key), 'reason', 'task', 'strike')
  redis.call('ZREM', P .. ':parked', key)
  if known[1] then leave_group(parked_group(known[1], known[2], known[3]), key) end
end

-- `rule` is the strike that keeps it, if one does.
local function park(key, reason, now, due, rule)
  local run = run_of(key)
  redis.call('HDEL', run, 'consumer', 'started')
  redis.call('HSET', run, 'state', 'parked', 'reason', reason)
  if rule then redis.call('HSET', run, 'strike', rule) end
  local group = parked_group(reason, redis.call('HGET', run, 'task'), rule)
  redis.call('ZADD', P .. ':parked', integer(now), key)
  redis.call('ZADD', P .. ':parked:' .. group, integer(now), key)
  redis.call('SADD', P .. ':parked-groups', group)
  announce(key, 'parked', due)
end

-- Takes a live execution away from where it waits, and gives back whatever it waits for or holds. The body of a
-- running one goes on: its worker's settlement will find another acceptance, be refused, and free its slots.
local function detach(key, state, queue, message)
  local known = redis.call('HMGET', run_of(key), 'nonce', 'gates', 'admitted', 'waits', 'consumer')
  if state == 'scheduled' then
    redis.call('ZREM', P .. ':queue', key)
    if known[4] then stop_waiting(key, known[4]) end
  elseif state == 'queued' then
    take_off_stream(queue, message)
    redis.call('ZREM', suspects_of(queue), key)
  elseif state == 'parked' then leave_parked(key)
  end
  if state ~= 'running' then return leave_gates(key, known[1], known[2], known[3]) end
  local owner = owner_of(key, known[1])
  leave_orphan(owner, known[5])
  leave_marks(key, owner, known[2], known[3])
end

-- Turns. The runs of one schedule that must not overlap take turns: `key` in P:schedule:<id> names the run whose
-- turn it is, the others wait as runs wait for a slot. The end of that run lets the next one in, in the script
-- that records the end: nobody polls, and no crash can come between the two.

local function turns_of(id)
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

local function next_turn(id)
  -- Its schedule was removed: who waits is cancelled, a slice at a time, and nobody else may slip in between.
  if redis.call('HEXISTS', P .. ':removing', id) == 1 then return end
  local slot = turns_of(id)
  local waiters = P .. ':waiters:' .. slot
  while true do
    local key = redis.call('ZRANGE', waiters, 0, 0)[1]
    if not key then return end
    local known = attempt(redis.call, 'HMGET', run_of(key), 'waits', 'queue', 'generation', 'due')
    if known and known[1] == slot then
      stop_waiting(key, slot)
      local message = put_on_stream(key, known[2], known[3] or FIRST)
      redis.call('HSET', run_of(key), 'state', 'queued', 'message', message)
      redis.call('HSET', P .. ':schedule:' .. id, 'key', key)
      note_what_became(id, key, 'fired')
      announce(key, 'queued', known[4])
      ring(known[2])
      return
    end
    redis.call('ZREM', waiters, key)
    redis.call('ZREM', P .. ':waiting', key)
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
  if known[2] and known[2] ~= key and has_turn(id, known[2]) then return false end
  redis.call('HSET', P .. ':schedule:' .. id, 'key', key)
  note_what_became(id, key, 'fired')
  return true
end

-- Those that wait have their turns in the order of their due times.
local function wait_for_turn(id, key, due, now)
  redis.call('ZADD', P .. ':waiters:' .. turns_of(id), due, key)
  redis.call('ZADD', P .. ':waiting', integer(now), key)
  note_what_became(id, key, 'waits')
end

-- Lets the next one in if nobody has the turn.
local function turn_free(id)
  local key = redis.call('HGET', P .. ':schedule:' .. id, 'key')
  if not key or not has_turn(id, key) then next_turn(id) end
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
        by = 'docket', reason = failures .. ' runs in a row have failed', since = now}))
    end
  end
  local began = redis.call('HGET', run_of(key), 'started')
  note_what_became(id, key, state == 'cancelled' and not began and 'cancelled' or nil,
    state .. ' ' .. (began and integer(now - tonumber(began)) or ''))
  if known[1] == key then next_turn(id) end
end

-- A key stands for something else from now on: the schedule whose run it was goes on without it.
local function leave_schedule(key, id)
  redis.call('ZREM', P .. ':pending:' .. id, key)
  note_what_became(id, key, nil, 'replaced')
  if redis.call('HGET', P .. ':schedule:' .. id, 'key') == key then next_turn(id) end
end

-- A terminal state: recorded, announced, and from now on allowed to expire. `schedule` is that of which it is a
-- run, false if the caller knows that it is of none.
local function finish(key, state, now, ttl, reason, error, worker, started, due, schedule)
  local run = run_of(key)
  if schedule == nil then schedule = redis.call('HGET', run, 'schedule') end
  if schedule then turn_over(key, schedule, state, now) end
  local fields = {'state', state, 'completed', integer(now)}
  if reason and reason ~= '' then table.insert(fields, 'reason'); table.insert(fields, reason) end
  if error and error ~= '' then table.insert(fields, 'error'); table.insert(fields, error) end
  redis.call('HSET', run, unpack(fields))
  -- An end that no run has brought: whoever runs it still must not take it for its own.
  if not worker then redis.call('HDEL', run, 'fence') end
  redis.call('PEXPIRE', run, ttl)
  redis.call('PEXPIRE', P .. ':progress:' .. key, ttl)
  announce(key, state, due, worker, started, integer(now), error)
end

-- A dead letter: kept for replay, for `ttl` ms and among the latest DEAD_LETTERS. The index goes by when each record
-- goes, which whoever buried it has said.
local function bury(key, now, ttl)
  local dead = P .. ':dead'
  redis.call('ZADD', dead, integer(now + ttl), key)
  redis.call('ZREMRANGEBYSCORE', dead, '-inf', integer(now))
  if redis.call('ZCARD', dead) > DEAD_LETTERS then
    local oldest = redis.call('ZPOPMIN', dead)[1]
    redis.call('DEL', run_of(oldest), P .. ':results:' .. oldest, P .. ':progress:' .. oldest)
  end
end
