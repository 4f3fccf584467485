--! include pausing
-- All that tells why an execution stands where it does. It only reads, and as much however much waits.
--
-- key       the execution
-- silence   ms without a heartbeat after which a worker counts as gone
-- returns   nothing if there is no such execution; else pairs: a name, and a text or a list of texts

local COUNTED = 1000   -- how far is counted what is before it
local NAMED = 10       -- how many holders of slots are named
local ASKED = 100      -- how many workers are looked at
local GROUP = 'docket-workers'

local found = {}

local function tell(name, value)
  if value then found[#found + 1] = name; found[#found + 1] = value end
end

local function suffixed(name, queue)
  return P .. ':' .. name .. ((queue or '') ~= '' and ':' .. queue or '')
end

-- What is stored under a key may be something else: then nothing is known of it.
local function ask(reply)
  if type(reply) == 'table' and reply.err then return nil end
  return reply
end

local function milliseconds(time)
  return string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
end

local FIELDS = {'state', 'task', 'due', 'when', 'queue', 'attempt', 'consumer', 'started', 'completed', 'reason', 'error',
  'crashes', 'alone', 'suspect', 'silent', 'death', 'cancel', 'message', 'waits', 'gates', 'strike', 'schedule', 'nonce', 'expires', 'ended_by', 'released_by'}
local run = P .. ':runs:' .. key
local values = redis.call('HMGET', run, unpack(FIELDS))
if not values[1] then return {} end
local its = {}
for at, name in ipairs(FIELDS) do
  its[name] = values[at]
  tell(name, values[at])
end
local owner = (its.nonce or key) .. '\n' .. key
local now = milliseconds(redis.call('TIME'))
tell('now', now)
tell('true_now', milliseconds(server.call('TIME')))   -- leases go by it, also where tests move the time

-- The rule that has parked it, and that for the whole task.
tell('rule', its.strike and ask(redis.pcall('HGET', P .. ':strikes', its.strike)))
tell('task_rule', its.task and ask(redis.pcall('HGET', P .. ':strikes', 'task:' .. its.task)))

-- Who could run it, and whether anybody may.
local function tell_workers()
  local queue = its.queue or ''
  local pauses = ask(redis.pcall('HMGET', P .. ':paused-queues', pauses_of(queue))) or {}
  tell('pause_of_all', pauses[1])
  tell('pause', pauses[2])
  tell('pause_of_queue', pauses[3])
  tell('file_pause_of_all', pauses[4])
  tell('file_pause', pauses[5])
  tell('file_pause_of_queue', pauses[6])
  local since = string.format('%.0f', now - silence)
  tell('living', ask(redis.pcall('ZCOUNT', P .. ':workers', since, '+inf')))
  local knowing = {}
  for at, name in ipairs(ask(redis.pcall('SMEMBERS', P .. ':task-workers:' .. (its.task or ''))) or {}) do
    local heard = at <= ASKED and ask(redis.pcall('ZSCORE', P .. ':workers', name))
    if heard then knowing[#knowing + 1] = name; knowing[#knowing + 1] = heard end
  end
  tell('knowing', knowing)
  local serving, taking = {}, {}
  for _, name in ipairs(ask(redis.pcall('ZRANGEBYSCORE', P .. ':workers', since, '+inf', 'LIMIT', 0, ASKED)) or {}) do
    serving[#serving + 1] = name
    serving[#serving + 1] = ask(redis.pcall('HGET', P .. ':worker-queues', name)) or ''
    if ask(redis.pcall('HEXISTS', P .. ':worker-shapes:' .. name, '')) == 1 then taking[#taking + 1] = name end
  end
  tell('serving', serving)
  tell('taking', taking)
end

-- The limit whose slot it waits for, or the turn of its schedule.
local function tell_slot(slot)
  local waiters = P .. ':waiters:' .. slot
  tell('before', ask(redis.pcall('ZRANK', waiters, key)))
  tell('waiters', ask(redis.pcall('ZCARD', waiters)))
  tell('waiting_since', ask(redis.pcall('ZSCORE', P .. ':waiting', key)))
  local schedule = string.match(slot, '^schedule (.*)$')
  if schedule then
    local known = ask(redis.pcall('HMGET', P .. ':schedule:' .. schedule, 'key', 'orphan')) or {}
    local holder = known[2] and string.match(known[2], '\n(.*)$') or known[1]
    tell('turn_of', holder)
    tell('turn_state', holder and ask(redis.pcall('HGET', P .. ':runs:' .. holder, 'state')))
    return
  end
  local size, definition = string.match(ask(redis.pcall('HGET', P .. ':sizes', slot)) or '', '^(%d+)\n(.*)$')
  local announced = definition and definition ~= '' and ask(redis.pcall('HGET', P .. ':limits', 'size ' .. definition))
  tell('slots', announced or size)
  tell('held', ask(redis.pcall('ZCARD', P .. ':slots:' .. slot)))
  tell('holders', ask(redis.pcall('ZRANGE', P .. ':slots:' .. slot, 0, NAMED - 1, 'WITHSCORES')))
end

-- The moments that it was given by rates, and what it settles for.
local function tell_gates(text)
  local ok, asked = pcall(cjson.decode, text)
  local told = {}
  for _, gate in ipairs(ok and type(asked) == 'table' and asked or {}) do
    local kind, name = gate[1], gate[2]
    local mark = kind == 'rate' and ask(redis.pcall('ZSCORE', P .. ':moments:' .. name, owner))
      or kind == 'debounce' and ask(redis.pcall('HGET', P .. ':debounce:' .. name, 'winner')) == owner and its.due
    if mark then for _, one in ipairs({kind, name, mark}) do told[#told + 1] = one end end
  end
  tell('moments', told)
end

-- How many are before it on its stream that nobody has yet.
local function tell_place()
  local stream = suffixed('stream', its.queue)
  if not its.message or #(ask(redis.pcall('XRANGE', stream, its.message, its.message)) or {}) == 0 then return end
  local older = ask(redis.pcall('XRANGE', stream, '-', its.message, 'COUNT', COUNTED + 1)) or {}
  local last = older[#older] and older[#older][1] or its.message
  local taken = ask(redis.pcall('XPENDING', stream, GROUP, '-', last, COUNTED + 1)) or {}
  local is_all = last == its.message
  tell('ahead', math.max(0, #older - 1 - #taken))
  if not is_all then tell('ahead_is_least', '1') end
end

if its.state == 'scheduled' then
  tell('listed', ask(redis.pcall('ZSCORE', P .. ':queue', key)))
  if its.waits then tell_slot(its.waits) end
  if its.gates then tell_gates(its.gates) end
  tell_workers()
elseif its.state == 'queued' then
  tell_place()
  tell('suspects_before', ask(redis.pcall('ZRANK', suffixed('suspects', its.queue), key)))
  tell_workers()
elseif its.state == 'running' then
  tell('lease', its.consumer and ask(redis.pcall('ZSCORE', P .. ':leases', its.consumer)))
  tell('heard', its.consumer and ask(redis.pcall('ZSCORE', P .. ':workers', string.match(its.consumer, '^(.*):[^:]*$') or its.consumer)))
elseif its.state == 'parked' then
  tell('parked', ask(redis.pcall('ZSCORE', P .. ':parked', key)))
  tell_workers()
else
  tell('left', ask(redis.pcall('PTTL', run)))
  tell('dead', ask(redis.pcall('ZSCORE', P .. ':dead', key)))
end
return found
