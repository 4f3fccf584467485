--! include runs
--! include strikes
--! include leases
--! include suspects
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
--                stale messages dropped, {claimed ...}, {struck ...}, {crashed ...}, {parked ...}, {broken ...}}
--               claimed: {message, queue, key, generation, fence, task, call (nil: to be read), attempt, due, crashes,
--               trace, slot, schema, identity, size of the call, how many others may run beside it or '',
--               when (the due time in us, if it is not a whole ms; '')};
--               slot: what was taken for it while it waited ('<slots of the limit>\n<limit>'), or ''
--               struck, crashed, parked (by a strike): {key, task}; broken: {key or message, what is wrong}
--
-- Work per call is bounded: PROMOTED future tasks, EXPIRED leases, SLICE entries of the dead, and as many executions
-- as there are slots. Their calls come along up to INLINE bytes, one at least: how large they are is known only
-- when they are handed out already.

local PROMOTED = 100
local EXPIRED = 20
local INLINE = 4194304
local IDLE = 60000          -- ms for which a worker is remembered that holds nothing
local QUARANTINE = 15000    -- ms for which others leave suspects to a worker that runs nothing else
local COMPANY = 10000       -- ms that a suspect waits for others to end before it runs beside them
local slots, held, lease, queues = tonumber(slots), tonumber(held), tonumber(lease), tonumber(queues)
local concurrency = tonumber(concurrency)
local now = milliseconds()
local true_now = redis == server and now or true_milliseconds()
local claimed, struck, crashed, parked, broken, stale = {}, {}, {}, {}, {}, 0
local first_held = REST + queues
local bytes = 0
local rules
local is_full, is_recovered, is_waiting, has_dead = false, true, false, false

local function upcoming()
  return redis.call('ZRANGE', P .. ':queue', 0, 0, 'WITHSCORES')[2]
end

local function put_aside(what, trouble)
  broken[#broken + 1] = {what, trouble}
end

local function promote_one(key, bells)
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

-- Whether there are rules at all is asked once, and only when there is something to strike.
local function strike_on(task)
  if rules == nil then rules = redis.call('HLEN', P .. ':strikes') > 1 end
  return rules and action_of('task:' .. task, now)
end

local function condemn(key, task, due, crashes, alone, death)
  local words = 'Crashed: ' .. crashes .. ' workers died while they ran it'
  if alone > 0 then words = words .. ', ' .. alone .. ' of them while they ran nothing else' end
  if death and death ~= '' then words = words .. '; the last one ended with ' .. death end
  local known = redis.call('HMGET', run_of(key), 'nonce', 'gates', 'admitted')
  leave_gates(key, known[1], known[2], known[3])
  redis.call('HDEL', run_of(key), 'consumer', 'started')
  finish(key, 'failed', now, dead_ttl, 'crashed', words, nil, nil, due)
  bury(key, now, tonumber(dead_ttl))
  crashed[#crashed + 1] = {key, task}
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
  local known = redis.call('HMGET', run, 'state', 'generation', 'task', has_room and 'call' or 'none', 'attempt', 'due', 'crashes', 'trace', 'cancel', 'message', 'consumer', 'schema', 'nonce', 'suspect', 'alone', 'silent',
    'slot', 'gates', 'admitted', 'when')
  local state, task, due, crashes = known[1], known[3], known[6], tonumber(known[7] or 0)
  local level, alone = tonumber(known[14] or 0), tonumber(known[15] or 0)
  local function let_go()
    take_off_stream(queue, message)
    leave_gates(key, known[13], known[18], known[19])
  end

  -- The number counts, too: a key that was forgotten and used again counts its generations anew.
  if (known[2] or FIRST) ~= entry.generation or known[10] ~= message or (state ~= 'queued' and state ~= 'running') then
    take_off_stream(queue, message)
    stale = stale + 1
    return
  end
  if state == 'running' and known[11] and known[11] ~= holder then return hand_to(known[11], queue, message) end
  if known[9] then
    let_go()
    finish(key, 'cancelled', now, ttl, 'cancelled', nil, nil, nil, due)
    return
  end
  local action = strike_on(task)
  if action == 'park' then
    let_go()
    park_struck(key, 'task:' .. task, now, due)
    parked[#parked + 1] = {key, task}
    return
  elseif action then
    let_go()
    finish(key, 'cancelled', now, ttl, 'struck', nil, nil, nil, due)
    struck[#struck + 1] = {key, task}
    return
  end
  if state == 'running' and (how == SILENT or how == SILENT_ALONE) then
    local silent = tonumber(known[16] or 0) + 1
    crashes, alone = crashes + 1, alone + (how == SILENT_ALONE and 1 or 0)
    redis.call('HSET', run, 'crashes', crashes, 'alone', alone, 'silent', silent)
    if is_guilty(alone, crashes) then
      take_off_stream(queue, message)
      return condemn(key, task, due, crashes, alone)
    end
    if level > 0 or silent > 1 then return suspect(key, queue, message, due, crashes, alone, level + 1, '') end
  elseif level > 0 and holder ~= consumer then
    -- It has waited for something else meanwhile, such as a limit, or was handed back.
    return suspect(key, queue, message, due, crashes, alone, level, '')
  end

  local fence = next_fence()
  redis.call('HSET', run, 'state', 'running', 'fence', fence, 'consumer', consumer, 'started', integer(now), 'message', message)
  announce(key, 'running', due, worker, integer(now))
  local size = known[4] and #known[4] or redis.call('HSTRLEN', run, 'call')
  local comes_along = known[4] and (#claimed == 0 or bytes + size <= INLINE)
  bytes = bytes + size
  claimed[#claimed + 1] = {
    message, queue, key, entry.generation, fence, task, comes_along and known[4], known[5] or '1', due, crashes, known[8] or '',
    state == 'queued' and known[17] or '', known[12] or '1', identity_of(key, known[13]), size,
    level > 0 and company(concurrency, level) or '', known[20] or ''}
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

local function holder_of(queue, message)
  return (queue or '') .. '\n' .. message
end

-- What is pending under this worker's name and was never heard of, all queues before anything fresh.
local function recover(queue, known)
  local first = '-'
  while true do
    local page = pending(queue, consumer, SLICE, first)
    for _, entry in ipairs(page) do
      local message = entry[1]
      if not known[holder_of(queue, message)] then
        if #claimed >= slots or bytes >= INLINE then
          is_recovered = false
          return
        end
        local found = redis.call('XRANGE', stream_of(queue), message, message)[1]
        if found then take(queue, message, found[2], consumer) else take_off_stream(queue, message) end
      end
    end
    if #page < SLICE then return end
    first = '(' .. page[#page][1]
  end
end

-- Consumers that hold something and have no lease were forgotten, as by a failover that lost writes: they get time
-- to renew it. How long their own lease is nobody knows. What this worker has and does not know of is counted, too: a
-- run that it gave up without a word, or a reply that was lost in another way.
local own = 0

local function look_for_unknown(queue)
  local reply = redis.pcall('XPENDING', stream_of(queue), GROUP)
  if reply.err or type(reply[4]) ~= 'table' then return end
  for _, entry in ipairs(reply[4]) do
    if entry[1] == consumer then own = own + tonumber(entry[2])
    elseif not redis.call('ZSCORE', lost_of(queue), entry[1]) then
      redis.call('ZADD', P .. ':leases', 'NX', integer(true_now + math.max(lease, UNKNOWN)), entry[1])
    end
  end
end

-- Ends the leases that have ended; tells when the next one of somebody else does.
local function expire_some()
  local first = redis.call('ZRANGE', P .. ':leases', 0, 1, 'WITHSCORES')
  if first[2] and tonumber(first[2]) <= true_now then
    local latest = patient == '1' and 0 or true_now
    local all
    for _, other in ipairs(redis.call('ZRANGEBYSCORE', P .. ':leases', '-inf', integer(latest), 'LIMIT', 0, EXPIRED)) do
      if other ~= consumer then
        all = all or all_queues(REST, first_held - 1)
        expire(other, all, redis.call('ZSCORE', P .. ':leases', other) == '0')
      end
    end
    first = redis.call('ZRANGE', P .. ':leases', 0, 1, 'WITHSCORES')
  end
  local at = first[1] == consumer and 4 or 2
  return first[at] and integer(math.max(0, tonumber(first[at]) - true_now)) or '-1'
end

local function take_over_from(queue, other, how)
  local messages = {}
  for _, entry in ipairs(pending(queue, other, slots - #claimed)) do messages[#messages + 1] = entry[1] end
  if #messages > 0 then
    local found = {}
    for _, entry in ipairs(redis.call('XCLAIM', stream_of(queue), GROUP, consumer, 0, unpack(messages))) do
      if entry and entry[2] then
        found[entry[1]] = true
        take(queue, entry[1], entry[2], other, how)
      end
    end
    for _, message in ipairs(messages) do
      if not found[message] then take_off_stream(queue, message) end
    end
  end
  leave(queue, other)
end

-- Takes over what others have lost.
local function take_over(queue)
  local moved = 0
  local lost = redis.call('ZRANGE', lost_of(queue), 0, EXPIRED - 1, 'WITHSCORES')
  for at = 1, #lost, 2 do
    local other, how = lost[at], tonumber(lost[at + 1])
    if other == consumer then
      redis.call('ZREM', lost_of(queue), consumer)
    elseif how >= DEAD then
      if moved < SLICE then moved = moved + suspect_all(queue, other, how == DEAD_ALONE, SLICE - moved) end
      has_dead = has_dead or moved >= SLICE
    elseif #claimed < slots and waits ~= '' and (how == RELEASED or patient ~= '1') then
      take_over_from(queue, other, how)
    end
  end
end

local function is_in_quarantine(queue)
  local by = redis.call('GET', suffixed('quarantine', queue))
  return by and by ~= consumer
end

-- Puts a suspect on its stream and takes it from there at once: who reads the stream meets an entry that is held.
local function run_suspect(queue, key)
  local known = redis.call('HMGET', run_of(key), 'state', 'suspect', 'generation', 'task', 'due', 'crashes', 'alone', 'death', 'cancel')
  redis.call('ZREM', suspects_of(queue), key)
  if known[1] ~= 'queued' or not known[2] then return end
  local crashes, alone = tonumber(known[6] or 0), tonumber(known[7] or 0)
  if is_guilty(alone, crashes) then return condemn(key, known[4], known[5], crashes, alone, known[8]) end
  local generation = known[3] or FIRST
  local message = put_on_stream(key, queue, generation)
  redis.call('XCLAIM', stream_of(queue), GROUP, consumer, 0, message, 'FORCE', 'JUSTID')
  redis.call('HSET', run_of(key), 'message', message)
  redis.call('HDEL', run_of(key), 'reason')
  take(queue, message, {'key', key, 'generation', generation}, consumer)
end

-- Suspects run among few others. A worker that runs other things as well stops taking those while one waits for
-- its turn; after a while it runs beside them all the same, and its death would say nothing.
local function take_suspects(queue)
  if is_in_quarantine(queue) then return end
  local waiting = redis.call('ZRANGE', suspects_of(queue), 0, slots - 1, 'WITHSCORES')
  for at = 1, #waiting, 2 do
    local key, since = waiting[at], tonumber(waiting[at + 1])
    local level, trouble = attempt(redis.call, 'HGET', run_of(key), 'suspect')
    local most = company(concurrency, tonumber(level or 1))
    if trouble then
      redis.call('ZREM', suspects_of(queue), key)
      free_slots_of_wreck(key)
      put_aside(key, trouble)
    elseif #claimed >= slots or (waits ~= '' and true_now - since < tonumber(waits)) then
      return
    elseif held + #claimed > most and (#claimed > 0 or true_now - since < COMPANY) then
      is_waiting = #claimed == 0
      slots = #claimed
      return
    else
      local before = #claimed
      attempt(run_suspect, queue, key)
      -- One that was cancelled, or is dead now, keeps nobody away.
      if #claimed > before then slots = math.min(slots, math.max(most + 1 - held, #claimed)) end
    end
  end
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

-- What is rare, in one question.
local function has_any(name)
  local places = {}
  for at = REST, first_held - 1 do places[#places + 1] = suffixed(name, ARGV[at]) end
  return redis.call('EXISTS', unpack(places)) > 0
end

local next_due = promote()
if held > 0 then redis.call('ZADD', P .. ':leases', integer(true_now + lease), consumer) end
if first_held <= #ARGV then
  local known = {}
  for at = first_held, #ARGV do known[ARGV[at]] = true end
  for_each_queue(recover, known)
end
local next_end = '-1'
if is_recovered then
  if thorough == '1' then
    for_each_queue(look_for_unknown)
    if own > held + #claimed then is_recovered = false end
    redis.call('ZADD', P .. ':leases', 'NX', integer(true_now + math.max(lease, IDLE)), consumer)
  end
  next_end = expire_some()
  if waits == '' then
    for at = REST, first_held - 1 do redis.call('SET', suffixed('quarantine', ARGV[at]), consumer, 'PX', QUARANTINE + lease) end
  end
  if has_any('lost') then for_each_queue(take_over) end
  if has_any('suspects') then for_each_queue(take_suspects) end
  if waits ~= '' then
    for_each_queue(function(queue)
      if #claimed < slots and bytes < INLINE then read(queue) end
    end)
  end
end
if #claimed > 0 then redis.call('ZADD', P .. ':leases', integer(true_now + lease), consumer) end
-- More may be waiting than was read: the next idle worker is woken.
if is_full or #claimed >= slots then
  for at = REST, first_held - 1 do ring(ARGV[at]) end
end
keep_fence()
return {integer(now), next_due or '-1', next_end, has_dead and 1 or 0,
  is_recovered and 1 or 0, is_waiting and 1 or 0, stale, claimed, struck, crashed, parked, broken}
