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

-- Slots. A slot of a limit belongs to a message: whoever takes the message off its stream, for whatever
-- reason, gives the slot back, and a run that is delivered again finds its own slot still taken by it.

local GRANTS = 100           -- the most that one freed slot lets in (more than one if the limit has grown)
local holding                -- whether anything holds a slot; asked once per script

local function holder_of(queue, message)
  return (queue or '') .. '\n' .. message
end

local function take_slot(slot, size, queue, message)
  local member = holder_of(queue, message)
  redis.call('ZADD', P .. ':slots:' .. slot, 'NX', integer(milliseconds()), member)
  redis.call('HSET', P .. ':holding', member, size .. '\n' .. slot)
  holding = true
end

local function stop_waiting(key, slot)
  local waiters = P .. ':waiters:' .. slot
  redis.call('ZREM', waiters, key)
  redis.call('ZREM', P .. ':waiting', key)
  redis.call('HDEL', run_of(key), 'waits')
  if redis.call('EXISTS', waiters) == 0 then redis.call('HDEL', P .. ':sizes', slot) end
end

-- Hands the free slots of a limit to those that wait for one, the longest first: each is put on its
-- stream with the slot already taken for it, so that nobody overtakes it. How many slots there are is what
-- was heard last from whoever asked for one.
local function grant(slot)
  local waiters = P .. ':waiters:' .. slot
  local size = redis.call('HGET', P .. ':sizes', slot) or '0'
  local free = math.min(tonumber(size) - redis.call('ZCARD', P .. ':slots:' .. slot), GRANTS)
  while free > 0 do
    local key = redis.call('ZRANGE', waiters, 0, 0)[1]
    if not key then return end
    local known = redis.call('HMGET', run_of(key), 'waits', 'queue', 'generation', 'due')
    if known[1] ~= slot then
      redis.call('ZREM', waiters, key)
    else
      stop_waiting(key, slot)
      local message = put_on_stream(key, known[2], known[3] or FIRST)
      redis.call('HSET', run_of(key), 'state', 'queued', 'message', message)
      take_slot(slot, size, known[2], message)
      announce(key, 'queued', known[4])
      ring(known[2])
      free = free - 1
    end
  end
end

-- The slot that a message holds, as '<slots of its limit>\n<limit>'.
local function slot_of(queue, message)
  if holding == nil then holding = redis.call('EXISTS', P .. ':holding') == 1 end
  return holding and redis.call('HGET', P .. ':holding', holder_of(queue, message))
end

local function give_slot_back(queue, message)
  local held = slot_of(queue, message)
  if not held then return end
  local slot = string.sub(held, string.find(held, '\n', 1, true) + 1)
  local member = holder_of(queue, message)
  redis.call('HDEL', P .. ':holding', member)
  redis.call('ZREM', P .. ':slots:' .. slot, member)
  grant(slot)
end

local function take_off_stream(queue, message)
  local stream = stream_of(queue)
  -- pcall: without its group (FLUSHALL) there is nothing to acknowledge.
  redis.pcall('XACK', stream, GROUP, message)
  redis.call('XDEL', stream, message)
  give_slot_back(queue, message)
end

-- Waits for its due time; becoming the earliest wakes a worker, which then knows the new time.
local function put_in_future(key, queue, due)
  redis.call('ZADD', P .. ':queue', due, key)
  if redis.call('ZRANGE', P .. ':queue', 0, 0)[1] == key then ring(queue) end
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

-- Takes a live execution away from where it waits. A running one stays with its worker, whose
-- settlement will find another generation and be refused.
local function detach(key, state, queue, message)
  if state == 'scheduled' then
    redis.call('ZREM', P .. ':queue', key)
    local slot = redis.call('HGET', run_of(key), 'waits')
    if slot then stop_waiting(key, slot) end
  elseif state == 'queued' then
    take_off_stream(queue, message)
    redis.call('ZREM', suspects_of(queue), key)
  elseif state == 'parked' then leave_parked(key)
  end
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

-- A dead letter: kept for replay, for `ttl` ms and among the latest DEAD_LETTERS.
local function bury(key, now, ttl)
  local dead = P .. ':dead'
  redis.call('ZADD', dead, integer(now), key)
  redis.call('ZREMRANGEBYSCORE', dead, '-inf', integer(now - ttl))
  if redis.call('ZCARD', dead) > DEAD_LETTERS then
    local oldest = redis.call('ZPOPMIN', dead)[1]
    redis.call('DEL', run_of(oldest), P .. ':results:' .. oldest, P .. ':progress:' .. oldest)
  end
end
