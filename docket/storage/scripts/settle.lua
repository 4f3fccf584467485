--! include runs
--! include strikes
-- Records what runs ended with: outcome, result, next run and acknowledgement, together.
--
-- consumer  who had the runs, by its name in the consumer group
-- REST...   per run: message, queue, key, generation, fence, word, due, attempt, call, result, error,
--           reason, ttl (ms), identity, when (`due` in us, if it is not a whole ms; ''), seconds (that it has taken;
--           '' if it has not begun), about (the task's own account of it for the history, as JSON; '')
--           word:
--             completed, failed, cancelled   an end
--             dropped   an end as well: cancelled before it has started
--             again     another try at `due`, with `call` if it is not empty; with `about` the last one has failed
--             delay     the same try at `due`: a gate does not let it in now
--             undo      likewise, after other gates had let it in
--             next      the run that follows this one: an acceptance of its own; `reason` is how this one has
--                       ended: completed or failed
--             back      the same run once more, as if it had not begun
--             parked    by the rule `error`, if it is not empty and still in force
--             waiting   for a slot of the limit `reason`, defined as `error`, which has `due` slots
-- RESULTS   the bytes that results may take, beyond which the oldest are evicted; '' if there is no limit
-- returns   per run: RECORDED, ALREADY (it was recorded before: sent twice, whatever has become of the key since), SUPERSEDED (a newer
--           generation exists), STALE (another worker has taken it over), GONE (no record of it), BROKEN (its key
--           holds something else); then the number of results that were evicted, if any were
--
-- Fence and consumer decide: only the run that was handed the latest fence may record. A run whose lease was
-- lost leaves the message alone, because it belongs to the worker that took it over.

local FIELDS = 17
local GOES_ON = {again = true, delay = true, undo = true, next = true, back = true, waiting = true, parked = true}   -- not an end
local now = milliseconds()
local worker = name_of(consumer)
local bells = {}
local has_stored = false

-- `when` is nil where the due time is the same.
local function again(key, run, queue, next_generation, due, attempt, call, when)   --! rare
  local fields = {'generation', next_generation, 'attempt', attempt}
  redis.call('HDEL', run, 'consumer', 'started', 'error', 'reason')
  if call ~= '' then
    fields[#fields + 1] = 'call'; fields[#fields + 1] = call
    fields[#fields + 1] = 'schema'; fields[#fields + 1] = schema_of(redis.call('HGET', run, 'task')) or '1'
  end
  if when == '' then redis.call('HDEL', run, 'when')
  elseif when then fields[#fields + 1] = 'when'; fields[#fields + 1] = when
  end
  due = tonumber(due)
  if due <= now then
    local message = put_on_stream(key, queue, next_generation)
    redis.call('HSET', run, 'state', 'queued', 'message', message, 'due', integer(due == 0 and now or due), unpack(fields))
    bells[queue] = true
    announce(key, 'queued', told_due(integer(due == 0 and now or due), when))
  else
    redis.call('HSET', run, 'state', 'scheduled', 'due', integer(due), unpack(fields))
    put_in_future(key, queue, integer(due))
    announce(key, 'scheduled', told_due(integer(due), when))
  end
end

-- The record lives on: who asks again how this run has ended is answered from the ring. The run that follows
-- a perpetual one is an acceptance of its own.
local function note_passing(run, word, fence, nonce)   --! rare
  local ring = passed.with(redis.call('HGET', run, 'ring'), passed.run(fence, consumer))
  if word ~= 'next' then return redis.call('HSET', run, 'ring', ring) end
  redis.call('HSET', run, 'ring', passed.is_of_caller(nonce) and passed.with(ring, nonce) or ring, 'nonce', '~' .. fence)
end

-- Those that wait are served by their age: that of the message with which a try first had to wait, so that nobody
-- falls back who is handed back, or who waited for something else meanwhile.
local function age(run, message)   --! rare
  local at, number = string.match(message, '(%d+)-(%d+)')
  redis.call('HSETNX', run, 'since', integer(tonumber(at) * 4096 + math.min(tonumber(number), 4095)))
  return redis.call('HGET', run, 'since')
end

-- Joins those that wait for a slot. One that was freed since the run asked is handed out at once: between
-- the question and this answer nobody would have woken anybody.
local function wait_for_slot(key, run, message, slot, size, definition, due)   --! rare
  redis.call('HDEL', run, 'consumer', 'started')
  redis.call('HSET', run, 'state', 'scheduled', 'waits', slot)
  redis.call('HSET', P .. ':sizes', slot, size .. '\n' .. definition)
  redis.call('ZADD', P .. ':waiters:' .. slot, age(run, message), key)
  redis.call('ZADD', P .. ':waiting', integer(now), key)
  announce(key, 'scheduled', due)
  gates.grant(slot)
end

-- What a run keeps at gates when it goes on, and what it gives back. Whoever is delayed keeps its one place, and the
-- slot with which it waits for a moment; but if all gates had let it in, something behind them did not: then
-- it has not started. The run that follows is another owner, and keeps nothing.
local function pass_gates(run, key, word, fence, nonce, written)
  if not written and not is_anything_held() then return end
  local number, admitted = unpack(redis.call('HMGET', run, 'attempt', 'admitted'))
  number = number or FIRST
  local owner = gates.owner_of(key, nonce)
  local was_let_in = admitted and string.match(admitted, ' (%d+)$') == fence
  if was_let_in and (word == 'delay' or word == 'undo' or word == 'waiting' or word == 'dropped') then
    gates.undo_start(run, owner, written, number)
    if number == FIRST then admitted = nil end
  elseif word == 'delay' then return
  end
  if word == 'next' or word == 'parked' or not GOES_ON[word] then
    return gates.leave(key, nonce, written, admitted)
  end
  if word == 'again' then redis.call('HDEL', run, 'since') end
  if word == 'again' or word == 'waiting' then gates.give_moments_back(owner, written) end
  if gates.free_slots(owner) then redis.call('HDEL', run, 'slot') end
end

-- The run that follows is due at another time, and so is the moment by which it must have begun.
local function expire_next(key, run, options)   --! rare
  local expires = expiry_of(options, tonumber(redis.call('HGET', run, 'due')))
  if expires then expire_at(key, expires) end
end

-- The state under which the history has a run that has ended so; nil if it has none.
local function remembered_as(word, reason, about)
  if word == 'again' then return about ~= '' and 'retried' or nil end
  if word == 'next' then return reason ~= '' and reason or nil end
  return not GOES_ON[word] and word or nil
end

local function following(generation)   --! rare
  return integer(tonumber(generation) + 1)
end

local function settle(at)
  local message, queue, key, generation, fence, word, due, attempt, call, result, error, reason, ttl, identity, when, seconds, about =
    ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5], ARGV[at + 6], ARGV[at + 7],
    ARGV[at + 8], ARGV[at + 9], ARGV[at + 10], ARGV[at + 11], ARGV[at + 12], ARGV[at + 13], ARGV[at + 14],
    ARGV[at + 15], ARGV[at + 16]
  local run = run_of(key)
  -- A field that a record does not have is looked for in all of it: what is rare is asked for where it is needed.
  local state, current, latest, holder, started, its_due, cancel, its_message, schedule, nonce, at_gates, progress, options,
    task, number =
    unpack(redis.call('HMGET', run, 'state', 'generation', 'fence', 'consumer', 'started', 'due', 'cancel', 'message',
      'schedule', 'nonce', 'gates', 'progress', 'options', 'task', 'attempt'))
  current = current or FIRST

  if not state then
    take_off_stream(queue, message)
    gates.free_slots(gates.owner_of(key, identity))
    return 'GONE'
  elseif latest ~= fence or holder ~= consumer then
    local ring, before = unpack(redis.call('HMGET', run, 'ring', 'before'))
    if passed.has(ring, passed.run(fence, consumer)) then return 'ALREADY' end
    -- A key that was forgotten and used again counts its generations anew; messages are never the same.
    if current == generation and (its_message == message or before == message) then return 'STALE' end
    take_off_stream(queue, message)
    if identity_of(key, nonce) ~= identity then gates.free_slots(gates.owner_of(key, identity)) end
    return 'SUPERSEDED'
  elseif state ~= 'running' or current ~= generation then
    return 'ALREADY'
  end

  take_off_stream(queue, message)
  if cancel and GOES_ON[word] then word, reason = 'cancelled', 'cancelled' end
  pass_gates(run, key, word, fence, nonce, at_gates)
  if GOES_ON[word] then note_passing(run, word, fence, nonce) end
  if word == 'dropped' then word = 'cancelled' end
  local told = HISTORY ~= '' and remembered_as(word, reason, about)
  if told then
    history.note(told, word == 'next' and '' or reason, key, task or '', queue, number or '1', its_due or '', started or '',
      seconds, worker, about)
  end
  -- Another try is not suspected of what the last one may have done. One that only waits is.
  if word == 'next' or (word == 'again' and attempt ~= (number or '1')) then
    redis.call('HDEL', run, 'crashes', 'alone', 'silent', 'suspect', 'death', 'before')
  end
  if word == 'again' or word == 'next' or word == 'delay' or word == 'undo' then
    again(key, run, queue, following(generation), due, attempt, call, when)
    if word == 'next' and options then expire_next(key, run, options) end
  elseif word == 'back' then
    -- Of the same generation: the gates that have let it in know it by that.
    again(key, run, queue, generation, due, attempt, '')
  elseif word == 'waiting' then
    wait_for_slot(key, run, message, reason, due, error, its_due)
  elseif word == 'parked' and error ~= '' then
    if action_of(error, now) then park_struck(key, error, now, its_due)
    else again(key, run, queue, following(generation), its_due, attempt, '')
    end
  elseif word == 'parked' then
    parked.park(key, reason, now, its_due)
    if schedule then turns.turn_over(key, schedule, 'parked', now) end
  else
    ttl = finish(key, word, now, ttl, reason, error, worker, started, its_due, schedule, progress, options)
    -- Last: a record never outlives its result.
    if result ~= '' then
      redis.call('SET', P .. ':results:' .. key, result, 'PX', ttl)
      has_stored = RESULTS ~= '' and (pcall(stored.note, key, result, ttl, options) or has_stored)
    end
    if word == 'failed' then bury(key, now, tonumber(ttl)) end
  end
  return 'RECORDED'
end

local replies = {}
for at = REST, #ARGV, FIELDS do
  local word = attempt(settle, at)
  if not word then take_wreck_off(ARGV[at + 1], ARGV[at]) end
  replies[#replies + 1] = word or 'BROKEN'
end
for queue in pairs(bells) do ring(queue) end
if has_stored then
  local ok, evicted = pcall(stored.bound, tonumber(RESULTS))
  if ok and evicted > 0 then replies[#replies + 1] = evicted end
end
return replies
