--! include runs
--! include strikes
--! include pausing
-- Hands due executions to a worker: the only way a message reaches one.
--
-- consumer      the name in the consumer group, unique to one life of one worker: its name, a colon, a token
-- worker        the name that people see
-- slots         how many executions it can take
-- held          how many it has already
-- concurrency   how many it runs at most
-- lease         ms after which it has lost what it holds, should it be silent
-- patient       1: others get a moment to renew leases that have ended; only what was released is taken over
-- thorough      1: look also for consumers of which no lease is known
-- waits         ms that suspects wait before it runs them; '' if it runs nothing else
-- queues        how many queue names follow, best first ('' is the default queue)
-- ttl           ms for which a struck or cancelled execution is remembered
-- dead_ttl      ms for which a dead letter is kept
-- REST...       the queues, then what this worker holds ('<queue>\n<message>') if it wants to recover: entries
--               that are pending under its name but that it does not hold (a reply was lost on the way)
-- returns       {now in ms, the next due time in ms or -1, ms until the next lease of others ends or -1,
--                1 if there is more to do at once, 1 if everything is recovered, 1 if a suspect waits for others to end,
--                stale messages dropped, {claimed ...}, {struck ...}, {crashed ...}, {parked ...}, {broken ...},
--                {expired ...}}
--               claimed: {message, queue, key, generation, fence, task, call (nil: to be read), attempt, due, crashes,
--               trace, slot, schema, identity, size of the call, how many others may run beside it or '',
--               when (the due time in us, if it is not a whole ms; ''), options of the call};
--               slot: what was taken for it while it waited ('<slots of the limit>\n<limit>'), or ''
--               struck, crashed, parked (by a strike), expired: {key, task}; broken: {key or message, what is wrong}
--
-- Work per call is bounded: PROMOTED future tasks, EXPIRED leases, SLICE entries of the dead, and as many executions
-- as there are slots. Their calls come along up to INLINE bytes, one at least: how large they are is known only
-- when they are handed out already.

local PROMOTED = 100
local EXPIRED = 20
local INLINE = 4194304
local IDLE = 60000          -- ms for which a worker is remembered that holds nothing
local QUARANTINE = 15000    -- ms for which others leave suspects to a worker that runs nothing else
local FRESH = 0.9           -- a lease of which so much is left is not renewed by each claim
local DIGITS = 100          -- that the numbers of a record have, all together
local COMPANY = 10000       -- ms that a suspect waits for others to end before it runs beside them
local slots, held, lease, queues = tonumber(slots), tonumber(held), tonumber(lease), tonumber(queues)
local concurrency = tonumber(concurrency)
local now = milliseconds()
local started = integer(now)
local true_now = own_milliseconds()
local claimed, struck, crashed, kept, broken, expired, stale = {}, {}, {}, {}, {}, {}, 0
local first_held = REST + queues
local bytes = 0
local rules
local is_full, is_recovered, is_waiting, has_dead = false, true, false, false

local function upcoming()
  return redis.call('ZRANGE', P .. ':queue', '0', '0', 'WITHSCORES')[2]
end

local function put_aside(what, trouble)   --! rare
  broken[#broken + 1] = {what, trouble}
end

local function promote_one(key, bells)   --! rare
  local run = run_of(key)
  local known = redis.call('HMGET', run, 'state', 'generation', 'queue', 'due')
  if known[1] ~= 'scheduled' then return end
  local message = put_on_stream(key, known[3], known[2] or FIRST)
  redis.call('HSET', run, 'state', 'queued', 'message', message)
  announce(key, 'queued', known[4])
  bells[known[3] or ''] = true
end

-- Moves what is due from the future to its stream, a slice at a time; tells what is due next.
local function promote()
  local next_due = upcoming()
  if not next_due or tonumber(next_due) > now then return next_due end
  local bells = {}
  for _, key in ipairs(redis.call('ZRANGEBYSCORE', P .. ':queue', '-inf', now, 'LIMIT', 0, PROMOTED)) do
    redis.call('ZREM', P .. ':queue', key)
    local _, trouble = attempt(promote_one, key, bells)
    if trouble then put_aside(key, trouble) end
  end
  for at = REST, first_held - 1 do bells[ARGV[at]] = nil end
  for queue in pairs(bells) do ring(queue) end
  return upcoming()
end

-- Whether there are rules at all is asked once.
local function strike_on(task)
  if rules == nil then rules = redis.call('HLEN', P .. ':strikes') > 1 end
  return rules and action_of('task:' .. task, now)
end

local function condemn(key, task, due, crashes, alone, death)   --! rare
  local words = 'Crashed: ' .. crashes .. ' workers died while they ran it'
  if alone > 0 then words = words .. ', ' .. alone .. ' of them while they ran nothing else' end
  if death and death ~= '' then words = words .. '; the last one ended with ' .. death end
  local known = redis.call('HMGET', run_of(key), 'nonce', 'gates', 'admitted')
  gates.leave(key, known[1], known[2], known[3])
  redis.call('HDEL', run_of(key), 'consumer', 'started')
  finish(key, 'failed', now, dead_ttl, 'crashed', words, nil, nil, due)
  bury(key, now, tonumber(dead_ttl))
  crashed[#crashed + 1] = {key, task}
end

-- Takes an execution off its stream that will not run, and whatever it holds or waits for at gates.
local function let_go(queue, message, key, nonce, at_gates)   --! rare
  take_off_stream(queue, message)
  if at_gates or is_anything_held() then
    gates.leave(key, nonce, at_gates, redis.call('HGET', run_of(key), 'admitted'))
  end
end

-- A record in which one of these is no number cannot be run, and could not even be read. It is a dead letter that says
-- what was wrong, with a number in its place. `numbers` are in the order of their names.
local function give_up_damaged(queue, message, key, nonce, at_gates, numbers)   --! rare
  let_go(queue, message, key, nonce, at_gates)
  local words = 'Undecodable: its record is damaged'
  for at, name in ipairs({'generation', 'attempt', 'due', 'schema', 'crashes'}) do
    local number = numbers[at] or FIRST
    if string.find(number, '%D') or #number > DIGITS then
      words = words .. '; ' .. name .. ' is no number'
      redis.call('HSET', run_of(key), name, name == 'due' and started or FIRST)
    end
  end
  redis.call('HDEL', run_of(key), 'consumer', 'started')
  finish(key, 'failed', now, dead_ttl, 'undecodable', words, nil, nil, redis.call('HGET', run_of(key), 'due'))
  bury(key, now, tonumber(dead_ttl))
  put_aside(key, words)
end

-- Ends what has not begun in time, wherever it waits; tells whether it has. What was tried before has begun, and so has
-- what died with its process.
local function end_if_expired(key)   --! rare
  local known = redis.call('HMGET', run_of(key), 'state', 'expires', 'queue', 'message', 'due', 'task', 'attempt', 'crashes')
  local state, expires = known[1], tonumber(known[2])
  if not expires or expires > now or (known[7] or FIRST) ~= FIRST or known[8] then return false end
  if state ~= 'scheduled' and state ~= 'queued' and state ~= 'parked' then return false end
  detach(key, state, known[3], known[4])
  finish(key, 'cancelled', now, ttl, 'expired', nil, nil, nil, known[5])
  expired[#expired + 1] = {key, known[6]}
  return true
end

-- Looks for all of that, also where no worker takes anything: a slice per call.
local function end_expired()   --! rare
  for _, key in ipairs(redis.call('ZRANGEBYSCORE', P .. ':expiring', '-inf', integer(now), 'LIMIT', 0, PROMOTED)) do
    redis.call('ZREM', P .. ':expiring', key)
    local _, trouble = attempt(end_if_expired, key)
    if trouble then put_aside(key, trouble) end
  end
end

-- Who has had the entry so far is `holder`: nobody if it is fresh. `how` says how that one has lost it, if it has.
local function take_one(queue, message, fields, holder, how)
  local entry = {}
  for at = 1, #fields, 2 do entry[fields[at]] = fields[at + 1] end
  local key = entry.key
  if not key then
    take_off_stream(queue, message)
    return put_aside(message, 'an entry that names no execution')
  end
  local run = run_of(key)
  local has_room = bytes < INLINE
  -- A field that a record does not have is looked for in all of it: what is rare is asked for where it is needed.
  local state, generation, task, call, number, due, crashes, trace, cancel, current, had_by, schema, nonce, at_gates, when, options =
    unpack(redis.call('HMGET', run, 'state', 'generation', 'task', has_room and 'call' or 'none', 'attempt', 'due',
      'crashes', 'trace', 'cancel', 'message', 'consumer', 'schema', 'nonce', 'gates', 'when', 'options'))

  -- The number counts, too: a key that was forgotten and used again counts its generations anew.
  if (generation or FIRST) ~= entry.generation or current ~= message or (state ~= 'queued' and state ~= 'running') then
    take_off_stream(queue, message)
    stale = stale + 1
    return
  end
  local numbers = entry.generation .. (number or '') .. (due or 'missing') .. (schema or '') .. (crashes or '')
  if string.find(numbers, '%D') or #numbers > DIGITS then
    return give_up_damaged(queue, message, key, nonce, at_gates, {entry.generation, number, due or 'missing', schema, crashes})
  end
  if state == 'running' and had_by and had_by ~= holder then return leases.hand_to(had_by, queue, message) end
  if cancel then
    let_go(queue, message, key, nonce, at_gates)
    finish(key, 'cancelled', now, ttl, 'cancelled', nil, nil, nil, due)
    return
  end
  if options and state == 'queued' and end_if_expired(key) then return end
  local action = strike_on(task)
  if action == 'park' then
    let_go(queue, message, key, nonce, at_gates)
    park_struck(key, 'task:' .. task, now, due)
    kept[#kept + 1] = {key, task}
    return
  elseif action then
    let_go(queue, message, key, nonce, at_gates)
    finish(key, 'cancelled', now, ttl, 'struck', nil, nil, nil, due)
    struck[#struck + 1] = {key, task}
    return
  end
  local level = 0
  local is_silent = state == 'running' and (how == leases.SILENT or how == leases.SILENT_ALONE)
  if crashes or is_silent then   -- no suspect has not crashed
    local known = redis.call('HMGET', run, 'suspect', 'alone', 'silent')
    local alone, silent = tonumber(known[2]) or 0, tonumber(known[3]) or 0
    level, crashes = tonumber(known[1]) or 0, tonumber(crashes or 0)
    if is_silent then
      crashes, alone, silent = crashes + 1, alone + (how == leases.SILENT_ALONE and 1 or 0), silent + 1
      redis.call('HSET', run, 'crashes', crashes, 'alone', alone, 'silent', silent)
      if suspects.is_guilty(alone, crashes) then
        take_off_stream(queue, message)
        return condemn(key, task, due, crashes, alone)
      end
      if level > 0 or silent > 1 then return suspects.suspect(key, queue, message, due, crashes, alone, level + 1, '') end
    elseif level > 0 and holder ~= consumer then
      -- It has waited for something else meanwhile, such as a limit, or was handed back.
      return suspects.suspect(key, queue, message, due, crashes, alone, level, '')
    end
  end

  local fence = next_fence()
  redis.call('HSET', run, 'state', 'running', 'fence', fence, 'consumer', consumer, 'started', started, 'message', message)
  announce(key, 'running', due, worker, started)
  local size = call and #call or redis.call('HSTRLEN', run, 'call')
  local comes_along = call and (#claimed == 0 or bytes + size <= INLINE)
  bytes = bytes + size
  claimed[#claimed + 1] = {
    message, queue, key, entry.generation, fence, task, comes_along and call, number or '1', due, crashes or 0, trace or '',
    at_gates and state == 'queued' and redis.call('HGET', run, 'slot') or '', schema or '1', identity_of(key, nonce), size,
    level > 0 and suspects.company(concurrency, level) or '', when or '', options or ''}
end

local function take(queue, message, fields, holder, how)
  local _, trouble = attempt(take_one, queue, message, fields, holder, how)
  if trouble then
    take_wreck_off(queue, message)
    put_aside(message, trouble)
  end
end

-- A server that was emptied has no group: it is made again, from the first entry on.
local function with_group(queue, read)
  local reply = read()
  if type(reply) == 'table' and reply.err then
    if not string.find(reply.err, 'NOGROUP', 1, true) then return error(reply.err, 0) end
    redis.call('XGROUP', 'CREATE', stream_of(queue), GROUP, '0', 'MKSTREAM')
    remember_queue(queue)
    reply = read()
  end
  return reply
end

local function holder_of(queue, message)   --! rare
  return (queue or '') .. '\n' .. message
end

local own_end = 0   -- of its own lease, if that is among the first two

-- Ends the leases that have ended; tells when the next one of somebody else does.
local function expire_some()
  local first = redis.call('ZRANGE', P .. ':leases', '0', '1', 'WITHSCORES')
  if first[2] and tonumber(first[2]) <= true_now then
    local latest = patient == '1' and 0 or true_now
    local all
    for _, other in ipairs(redis.call('ZRANGEBYSCORE', P .. ':leases', '-inf', integer(latest), 'LIMIT', 0, EXPIRED)) do
      if other ~= consumer then
        all = all or leases.all_queues(REST, first_held - 1)
        leases.expire(other, all, redis.call('ZSCORE', P .. ':leases', other) == '0')
      end
    end
    first = redis.call('ZRANGE', P .. ':leases', '0', '1', 'WITHSCORES')
  end
  local at = first[1] == consumer and 4 or 2
  if first[5 - at] == consumer then own_end = tonumber(first[6 - at]) end
  return first[at] and integer(math.max(0, tonumber(first[at]) - true_now)) or '-1'
end

local function read(queue)
  local most = slots - #claimed
  local reply = with_group(queue, function()
    return redis.pcall('XREADGROUP', 'GROUP', GROUP, consumer, 'COUNT', most, 'STREAMS', stream_of(queue), '>')
  end)
  local entries = reply and reply[1] and reply[1][2] or {}
  for _, entry in ipairs(entries) do
    take(queue, entry[1], entry[2])
  end
  if #entries >= most then is_full = true end
end

-- A queue whose stream is something else is put aside alone.
local function for_each_queue(act, ...)
  for at = REST, first_held - 1 do
    local _, trouble = attempt(act, ARGV[at], ...)
    if trouble then put_aside(stream_of(ARGV[at]), trouble) end
  end
end

local paused = {}   -- queues of which nothing is started

local function find_paused()   --! rare
  for at = REST, first_held - 1 do
    local queue = ARGV[at]
    for _, text in ipairs(redis.call('HMGET', P .. ':paused-queues', pauses_of(queue))) do
      local ends = text and end_of_pause(text)
      if text and not (ends and ends <= now) then paused[queue] = true end
    end
  end
end

-- What is rare, in one question: whether others have lost anything, and whether there are rules, queues that somebody
-- has paused, or moments by which something must have begun.
local function has_any_lost()
  local places = {P .. ':strikes', P .. ':paused-queues', P .. ':expiring'}
  for at = REST, first_held - 1 do
    places[#places + 1] = suffixed('lost', ARGV[at])
    places[#places + 1] = suffixed('suspects', ARGV[at])
  end
  local found = redis.call('EXISTS', unpack(places))
  local fields = found > 0 and redis.call('HLEN', P .. ':strikes') or 0
  rules = fields > 1
  if fields > 0 then found = found - 1 end
  if found > 0 and redis.call('EXISTS', P .. ':paused-queues') == 1 then
    found = found - 1
    find_paused()
  end
  if found > 0 and redis.call('EXISTS', P .. ':expiring') == 1 then
    found = found - 1
    end_expired()
  end
  return found > 0
end

-- As full.lua does: what comes first here now and then takes memory.
if thorough == '1' or waits == '' then redis.call('DEL', P .. ':none') end
local next_due = promote()
if first_held <= #ARGV then
  --! insert recovery
end
local next_end = '-1'
if is_recovered then
  if thorough == '1' then
    --! insert forgotten
  end
  next_end = expire_some()
  if waits == '' then
    for at = REST, first_held - 1 do redis.call('SET', suffixed('quarantine', ARGV[at]), consumer, 'PX', QUARANTINE + lease) end
  end
  if has_any_lost() then
    --! insert takeover
  end
  if waits ~= '' then
    for_each_queue(function(queue)
      if #claimed < slots and bytes < INLINE and not paused[queue] then read(queue) end
    end)
  end
end
-- A worker that holds nothing may be remembered for longer than its lease.
if #claimed > 0 and (own_end < true_now + lease * FRESH or own_end > true_now + lease) then
  redis.call('ZADD', P .. ':leases', integer(true_now + lease), consumer)
end
-- More may be waiting than was read: the next idle worker is woken.
if is_full or #claimed >= slots then
  for at = REST, first_held - 1 do ring(ARGV[at]) end
end
return {integer(now), next_due or '-1', next_end, has_dead and 1 or 0,
  is_recovered and 1 or 0, is_waiting and 1 or 0, stale, claimed, struck, crashed, kept, broken, expired}
