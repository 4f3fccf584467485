-- Gates. What a run holds or waits for at a gate belongs to its acceptance, not to a message: it stays through
-- waiting, a hand-back and a takeover, and a key that is used again is another owner. The record names the gates
-- (`gates`, as JSON) and the last start that all of them have let in (`admitted`: attempt and fence), so that
-- `leave` finds all of it without a search, whichever way the run goes.
--
-- P:holding   by owner: the limits of which it holds a slot; if it has been superseded, who ran it, and the schedule
--             whose turn it has; as JSON
-- P:sizes     by limit that somebody waits for: its slots, as its last asker said, and its definition
-- P:limits    'size <definition>': the slots in force of a limit that workers have announced

local GRANTS = 100           -- the most that one call lets in
local FORGOTTEN = 604800000  -- ms after which a winner is no longer heard of whose record somebody has overwritten

-- What a record keeps as JSON; nothing where somebody has written something else.
local function decoded(text)
  local ok, value = pcall(cjson.decode, text)
  return ok and type(value) == 'table' and value or {}
end

-- The gates that a record names: kind, name, and what else is known of each.
local function named(text)
  local found = {}
  for _, gate in ipairs(decoded(text)) do
    if type(gate) == 'table' and type(gate[1]) == 'string' and type(gate[2]) == 'string' then found[#found + 1] = gate end
  end
  return found
end

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
  local text = is_anything_held() and redis.call('HGET', P .. ':holding', owner)
  if not text then return nil end
  local held, slots = decoded(text), {}
  for _, slot in ipairs(type(held.slots) == 'table' and held.slots or {}) do
    if type(slot) == 'string' then slots[#slots + 1] = slot end
  end
  return {
    slots = slots, consumer = type(held.consumer) == 'string' and held.consumer or nil,
    turn = type(held.turn) == 'string' and held.turn or nil}
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

-- Takes a key off the waiters of a slot that it does not wait for: its record is gone or is something else, or it
-- waits for another slot by now, and only then stays among all that wait.
local function drop_waiter(key, slot)
  local waiters = P .. ':waiters:' .. slot
  redis.call('ZREM', waiters, key)
  if not attempt(redis.call, 'HGET', run_of(key), 'waits') then redis.call('ZREM', P .. ':waiting', key) end
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
    if attempt(grant_to, key, slot, size) then granted = granted + 1
    else drop_waiter(key, slot)
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
  if held.turn then turns.orphan_over(held.turn, owner) end
  return true
end

-- A record holds something else, so that nobody knows of which acceptance it was: its slots are looked for by
-- their key. What was superseded before is left alone: its body may still run.
local function free_slots_of_wreck(key)
  for _, owner in ipairs(redis.call('HKEYS', P .. ':holding')) do
    if string.match(owner, '\n(.*)$') == key and not held_by(owner).consumer then free_slots(owner) end
  end
end

-- A running run was superseded, and its body goes on: its slots are free, and its turn if it has that of a schedule,
-- when it ends, or when its worker is gone.
local function leave_orphan(owner, consumer, turn)
  local held = held_by(owner) or turn and {slots = {}}
  if not held then return end
  held.consumer, held.turn = consumer or '', turn
  holding = true
  redis.call('HSET', P .. ':holding', owner, cjson.encode(held))
  redis.call('SADD', P .. ':orphans:' .. held.consumer, owner)
end

local orphans_left = GRANTS   -- the most that one script frees

-- A consumer is gone for good, and with it what it ran. Returns whether that was all: a script that finds more than
-- it may free leaves the rest to the next one.
local function free_orphans(consumer)
  local orphans = P .. ':orphans:' .. consumer
  if orphans_left > 0 then
    for _, owner in ipairs(redis.call('SRANDMEMBER', orphans, orphans_left)) do
      orphans_left = orphans_left - 1
      free_slots(owner)
      redis.call('SREM', orphans, owner)
    end
  end
  return redis.call('EXISTS', orphans) == 0
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
  for _, gate in ipairs(named(known[3])) do
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
  for _, gate in ipairs(gates and named(gates) or {}) do
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
  for _, gate in ipairs(named(gates)) do
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
  for _, gate in ipairs(named(gates)) do
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
local function leave(key, nonce, gates, admitted)
  local owner = owner_of(key, nonce)
  if free_slots(owner) and not gates then redis.call('HDEL', run_of(key), 'slot') end
  leave_marks(key, owner, gates, admitted)
end
