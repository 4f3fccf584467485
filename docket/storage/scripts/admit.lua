--! include runs
--! include full
-- Asks all gates of a run together: either all let it in, and its start is written, or the first that does not
-- decides, and nothing is taken but one place.
--
-- key, fence, consumer   the run, as it was handed out; no fence: one that nobody has handed out, of which
--           nothing is written down
-- identity  of its acceptance, if nobody has handed it out
-- number    which attempt it is
-- REST...   per gate: kind, name, and what the kind takes
--           cooldown: window (ms) · debounce: settle (ms), longest wait (ms; 0 is without end) ·
--           rate: starts, window (ms) · slot: size, definition; and '1' if it drops what is too many
-- returns   {word, gate that has decided (from 1), ms}: ADMITTED (the time), DELAYED (how long), DROPPED, WAITING (for
--           a slot; its settlement says so), or SUPERSEDED (it is not this run's turn any more)
--
-- In whatever order they are declared, gates are asked so: those that drop, debounce, slots, rates. So nobody is dropped
-- with a slot in hand, and nobody waits for a slot with a moment of a rate in hand. Sent again it answers as before:
-- what it has taken, it finds.

local STALE = 60000   -- ms after which the longest holder of a slot is looked at, should its run be gone
local FIELDS = 5
local RANKS = {cooldown = 1, drops = 1, debounce = 2, slot = 3, rate = 4}
local now = milliseconds()
local run = run_of(key)
local known = fence ~= '' and redis.call('HMGET', run, 'state', 'fence', 'consumer', 'gates', 'admitted', 'nonce') or {}
if fence ~= '' and (known[1] ~= 'running' or known[2] ~= fence or known[3] ~= consumer) then return {'SUPERSEDED', 0, 0} end

local owner = fence == '' and identity .. '\n' .. key or gates.owner_of(key, known[6])
local start = gates.start_of(owner, number)

-- Whether this attempt has started before: it comes again because a worker died or left, and nothing must drop it.
local before, under = string.match(known[5] or '', '^(%d+) (%d+)$')
local has_started = before == number and under ~= fence

local asked = {}
for at = REST, #ARGV, FIELDS do
  local gate = {kind = ARGV[at], name = ARGV[at + 1], first = ARGV[at + 2], second = ARGV[at + 3],
    drops = ARGV[at + 4] == '1', index = #asked + 1}
  gate.rank = RANKS[gate.drops and 'drops' or gate.kind]
  asked[#asked + 1] = gate
end

-- Each kind answers nil to let the run in, or the word that decides and ms; what is to be taken when all have
-- let it in is a function in `takes`.
local takes, asks = {}, {}

function asks.cooldown(gate)
  local mark = P .. ':cooldown:' .. gate.name
  local first = redis.call('GET', mark)
  if first and first ~= owner and not has_started then return 'DROPPED' end
  if not first then takes[#takes + 1] = function() redis.call('SET', mark, owner, 'PX', gate.first) end end
end

-- The record names all gates that it was asked at, so that what it has there is found again, and the fence under
-- which they have let it in, so that a question that is sent twice is answered once. Of a debounce that has dropped it,
-- it names the winner.
local named = known[4] and gates.named(known[4]) or {}

local function entry_of(gate)
  for _, entry in ipairs(named) do
    if entry[1] == gate.kind and entry[2] == gate.name then return entry end
  end
end

-- Whether one has run, or begun to. Of one that was cancelled nobody knows.
local function has_begun(owner)
  local identity, winner = string.match(owner, '^([^\n]*)\n(.*)$')
  if not identity then return false end
  local its = attempt(redis.call, 'HMGET', run_of(winner), 'state', 'nonce', 'admitted') or {}
  return its[1] and identity_of(winner, its[2]) == identity
    and (its[3] or its[1] == 'completed' or its[1] == 'failed') and its[1] ~= 'cancelled'
end

-- The first submission runs for all that come while it has not started. Once it was quiet for long enough it is
-- settled: what comes while it waits at another gate neither puts it off nor takes its place. Whoever was dropped
-- stays dropped once the winner has begun, should the answer, or the worker that had it, be lost.
function asks.debounce(gate)
  local mark = P .. ':debounce:' .. gate.name
  local settle, longest = tonumber(gate.first), tonumber(gate.second)
  local entry = entry_of(gate)
  if entry and has_begun(entry[3] or '') then return 'DROPPED' end
  local state = redis.call('HMGET', mark, 'winner', 'first', 'last', 'settled')
  local winner = state[1]
  if has_started then
    if winner == owner then redis.call('DEL', mark) end
    return nil
  end
  if not winner or (winner ~= owner and not gates.is_live(winner)) then
    redis.call('DEL', mark)
    redis.call('HSET', mark, 'winner', owner, 'first', integer(now), 'last', integer(now))
    redis.call('PEXPIRE', mark, integer(settle + gates.FORGOTTEN))
    return 'DELAYED', settle
  end
  if winner ~= owner then
    redis.call('HSET', mark, 'last', integer(now))
    if entry then
      entry[3] = winner
      redis.call('HSET', run, 'gates', cjson.encode(named))
    end
    return 'DROPPED'
  end
  redis.call('PEXPIRE', mark, integer(settle + gates.FORGOTTEN))
  local rest = tonumber(state[3]) + settle - now
  if longest > 0 then rest = math.min(rest, tonumber(state[2]) + longest - now) end
  if not state[4] and rest > 0 then return 'DELAYED', rest end
  redis.call('HSET', mark, 'settled', '1')
  takes[#takes + 1] = function() redis.call('DEL', mark) end
end

local function is_gone(holder, since)
  if now - since < STALE or gates.is_live(holder) then return false end
  local held = gates.held_by(holder)
  return not (held and held.consumer)
end

-- A newcomer goes behind those that wait: its settlement lets the first of them in, should a slot be free.
function asks.slot(gate)
  local slots = P .. ':slots:' .. gate.name
  local known_size = redis.call('HGET', P .. ':sizes', gate.name)
  local told = gate.first .. '\n' .. gate.second
  if known_size and known_size ~= told then
    redis.call('HSET', P .. ':sizes', gate.name, told)
    gates.grant(gate.name)
  end
  local size = gates.announced_size(gate.second) or tonumber(gate.first)
  local no = gate.drops and not has_started and 'DROPPED' or 'WAITING'
  local rank = redis.call('ZRANK', slots, owner)
  if rank then
    if rank >= size then return no end
    return nil
  end
  if redis.call('ZCARD', slots) >= size then
    local longest = redis.call('ZRANGE', slots, 0, 0, 'WITHSCORES')
    if not is_gone(longest[1], tonumber(longest[2])) then return no end
    gates.free_slots(longest[1])
    redis.call('ZREM', slots, longest[1])
    if redis.call('ZCARD', slots) >= size then return no end
  end
  if redis.call('EXISTS', P .. ':waiters:' .. gate.name) == 1 then return no end
  local function take() gates.take_slot(key, owner, gate.name, size) end
  gate.take = take
  takes[#takes + 1] = take
end

-- A sliding log of starts, and a list of moments that are given away, so that nobody has to ask twice. Starts are
-- counted when they take place, whenever they were meant to: the limit holds for what happens. Returns the time from
-- which on there is room.
local function room_in(gate)
  local starts, moments = P .. ':rate:' .. gate.name, P .. ':moments:' .. gate.name
  local limit, window = tonumber(gate.first), tonumber(gate.second)
  if redis.call('ZSCORE', starts, start) then return 0 end
  redis.call('ZREMRANGEBYSCORE', starts, '-inf', integer(now - window))
  -- A moment that is long past is kept for whoever is late, but not for whoever is gone.
  for _, late in ipairs(redis.call('ZRANGEBYSCORE', moments, '-inf', integer(now - window), 'LIMIT', 0, 10)) do
    if not gates.is_live(late) then redis.call('ZREM', moments, late) end
  end
  local function score(log, back)
    local found = redis.call('ZREVRANGE', log, back, back, 'WITHSCORES')[2]
    return found and tonumber(found)
  end
  -- Before this one come all starts, then the moments ahead of it: a window after the limit-th latest of
  -- them there is room.
  local total = redis.call('ZCARD', moments)
  local ahead = redis.call('ZRANK', moments, owner) or total
  local bar
  if ahead >= limit then bar = math.max(now, score(moments, total - 1 - (ahead - limit)))
  else bar = score(starts, limit - ahead - 1) end
  return bar and bar + window or now
end

local function count(gate)
  local starts = P .. ':rate:' .. gate.name
  redis.call('ZREM', P .. ':moments:' .. gate.name, owner)
  if redis.call('ZSCORE', starts, start) then return end
  redis.call('ZADD', starts, integer(now), start)
  redis.call('PEXPIRE', starts, gate.second)
end

function asks.rate(gate)
  if room_in(gate) > now and not has_started then return 'DROPPED' end
  takes[#takes + 1] = function() count(gate) end
end

-- All rates for which it has to wait give it the same moment: the first at which all have room.
local function ask_rates(rates)
  local room, decided = now, nil
  for _, gate in ipairs(rates) do
    local its = room_in(gate)
    if its > room then room, decided = its, gate end
  end
  if not decided then
    for _, gate in ipairs(rates) do count(gate) end
    return nil
  end
  for _, gate in ipairs(rates) do
    local moments = P .. ':moments:' .. gate.name
    redis.call('ZADD', moments, integer(room), owner)
    local last = redis.call('ZREVRANGE', moments, 0, 0, 'WITHSCORES')[2]
    redis.call('PEXPIREAT', moments, integer(tonumber(last) + 2 * tonumber(gate.second) + STALE))
  end
  return {'DELAYED', decided.index, integer(room - now)}
end

local function remember_gates(let_in)
  if fence == '' then return end
  local entries = {}
  for _, entry in ipairs(named) do entries[entry[1] .. '\n' .. entry[2]] = entry end
  for _, gate in ipairs(asked) do
    local entry = entries[gate.kind .. '\n' .. gate.name]
    if not entry then
      entry = {gate.kind, gate.name, ''}
      named[#named + 1] = entry
    end
    if let_in then entry[3] = fence end
  end
  redis.call('HSET', run, 'gates', cjson.encode(named))
  if let_in then redis.call('HSET', run, 'admitted', number .. ' ' .. fence) end
end

local function were_let_in()
  local under_this = {}
  for _, entry in ipairs(named) do under_this[entry[1] .. '\n' .. entry[2]] = entry[3] == fence end
  for _, gate in ipairs(asked) do
    if not under_this[gate.kind .. '\n' .. gate.name] then return false end
  end
  return before == number and under == fence
end

local function ask()
  local rates = {}
  for _, gate in ipairs(asked) do
    if gate.kind == 'rate' and not gate.drops then rates[#rates + 1] = gate
    else
      local word, pause = asks[gate.kind](gate)
      if word then return {word, gate.index, integer(pause or 0)} end
    end
  end
  local delayed = ask_rates(rates)
  if delayed then
    -- With the slot that it has: otherwise it would have a moment, and then wait for a slot.
    for _, gate in ipairs(asked) do
      if gate.take then gate.take() end
    end
    return delayed
  end
  for _, take in ipairs(takes) do take() end
  remember_gates(true)
  return {'ADMITTED', 0, integer(now)}
end

-- Stable: of the gates of one kind, the first that is declared decides.
table.sort(asked, function(one, other)
  if one.rank ~= other.rank then return one.rank < other.rank end
  return one.index < other.index
end)
if were_let_in() then return {'ADMITTED', 0, integer(now)} end
remember_gates(false)
return ask()
