--! include runs
--! include strikes
-- Hands due executions to a worker: the only way a message reaches one.
--
-- consumer   the name in the consumer group, unique to one life of one worker: its name, a colon, a token
-- worker     the name that people see
-- slots      how many executions it can take
-- lease      ms after which a silent worker has lost what it holds
-- cursor     where this worker's last looks at the leases of others ended, per queue; '{}' at first
-- queues     how many queue names follow, best first ('' is the default queue)
-- ttl        ms for which a struck or cancelled execution is remembered
-- dead_ttl   ms for which a dead letter is kept
-- REST...    the queues, then what this worker holds ('<queue>\n<message>') if it wants to recover: entries
--            that are pending under its name but that it does not hold (a reply was lost on the way)
-- returns    {now in ms, next due in ms or -1, next cursor, stale messages dropped, {claimed ...},
--             {struck ...}, {crashed ...}, {parked ...}}
--            claimed: {message, queue, key, generation, fence, task, call, attempt, due, crashes, trace,
--            slot, schema, identity}; slot: what was taken for it while it waited ('<slots of the
--            limit>\n<limit>'), or ''
--            struck, crashed, parked (by a strike): {key, task}
--
-- Work per call is bounded: PROMOTED future tasks, and as many executions as there are slots.

local PROMOTED = 100
local CRASHES = 3           -- this many deliveries that ended in a dead process make a dead letter
local slots, lease, queues = tonumber(slots), tonumber(lease), tonumber(queues)
local now = milliseconds()
local claimed, struck, crashed, parked, stale = {}, {}, {}, {}, 0
local cursors = cjson.decode(cursor)
local first_held = REST + queues
local rules
local is_full = false

local function upcoming()
  return redis.call('ZRANGE', P .. ':queue', 0, 0, 'WITHSCORES')[2]
end

-- Moves what is due from the future to its stream, a slice at a time; tells what is due next.
local function promote()
  local next_due = upcoming()
  if not next_due or tonumber(next_due) > now then return next_due end
  local bells = {}
  for _, key in ipairs(redis.call('ZRANGEBYSCORE', P .. ':queue', '-inf', now, 'LIMIT', 0, PROMOTED)) do
    redis.call('ZREM', P .. ':queue', key)
    local run = run_of(key)
    local known = redis.call('HMGET', run, 'state', 'generation', 'queue', 'due')
    if known[1] == 'scheduled' then
      local message = put_on_stream(key, known[3], known[2] or FIRST)
      redis.call('HSET', run, 'state', 'queued', 'message', message)
      announce(key, 'queued', known[4])
      bells[known[3] or ''] = true
    end
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

local function take_one(queue, message, fields, crash)
  local entry = {}
  for at = 1, #fields, 2 do entry[fields[at]] = fields[at + 1] end
  local key = entry.key or ''   -- an entry that is none of ours names no record, and is dropped as stale
  local run = run_of(key)
  local known = redis.call('HMGET', run, 'state', 'generation', 'task', 'call', 'attempt', 'due', 'crashes', 'trace', 'cancel', 'message', 'consumer', 'schema', 'nonce')
  local state, task, due, crashes = known[1], known[3], known[6], tonumber(known[7] or 0)

  -- The number counts, too: a key that was forgotten and used again counts its generations anew.
  if (known[2] or FIRST) ~= entry.generation or known[10] ~= message or (state ~= 'queued' and state ~= 'running') then
    take_off_stream(queue, message)
    stale = stale + 1
    return
  end
  -- A message of an execution that runs elsewhere: its group was lost, or it was begun by hand. It stays
  -- pending, and is ours to run only if nobody settles it within a lease.
  if state == 'running' and not crash and (crash == nil or known[11] ~= consumer) then return end
  if known[9] then
    take_off_stream(queue, message)
    finish(key, 'cancelled', now, ttl, 'cancelled', nil, nil, nil, due)
    return
  end
  local action = strike_on(task)
  if action == 'park' then
    take_off_stream(queue, message)
    park_struck(key, 'task:' .. task, now, due)
    parked[#parked + 1] = {key, task}
    return
  elseif action then
    take_off_stream(queue, message)
    finish(key, 'cancelled', now, ttl, 'struck', nil, nil, nil, due)
    struck[#struck + 1] = {key, task}
    return
  end
  if crash and state == 'running' then crashes = crashes + 1 end
  if crashes >= CRASHES then
    take_off_stream(queue, message)
    redis.call('HSET', run, 'crashes', crashes)
    finish(key, 'failed', now, dead_ttl, 'crashed',
      'Crashed: ' .. crashes .. ' workers died while they ran it', nil, nil, due)
    bury(key, now, tonumber(dead_ttl))
    crashed[#crashed + 1] = {key, task}
    return
  end

  local fence = next_fence()
  redis.call('HSET', run, 'state', 'running', 'fence', fence, 'consumer', consumer, 'started', integer(now), 'message', message)
  if crash and state == 'running' then redis.call('HSET', run, 'crashes', crashes) end
  announce(key, 'running', due, worker, integer(now))
  claimed[#claimed + 1] = {
    message, queue, key, entry.generation, fence, task, known[4], known[5] or '1', due, crashes, known[8] or '',
    state == 'queued' and slot_of(queue, message) or '', known[12] or '1', identity_of(key, known[13])}
end

local function take(queue, message, fields, crash)
  local _, trouble = attempt(take_one, queue, message, fields, crash)
  if trouble then
    take_off_stream(queue, message)
    stale = stale + 1
  end
end

-- A server that was emptied has no group: it is made again, from the first entry on.
local function with_group(queue, read)
  local reply = read()
  if type(reply) == 'table' and reply.err then
    if not string.find(reply.err, 'NOGROUP', 1, true) then return error(reply.err) end
    remember_queue(queue)
    redis.call('XGROUP', 'CREATE', stream_of(queue), GROUP, '0', 'MKSTREAM')
    reply = read()
  end
  return reply
end

-- Takes over what silent workers hold: one look per interval, whoever comes first, each worker from
-- where its own last look ended, so that entries past the first window are reached.
local function sweep(queue)
  local interval = math.min(1000, math.floor(lease / 4))
  if not redis.call('SET', P .. ':sweep:' .. queue, '1', 'NX', 'PX', interval) then return end
  local reply = with_group(queue, function()
    return redis.pcall('XAUTOCLAIM', stream_of(queue), GROUP, consumer, lease, cursors[queue] or '0-0', 'COUNT', slots - #claimed)
  end)
  for _, entry in ipairs(reply[2]) do
    if entry and entry[2] then take(queue, entry[1], entry[2], true) end
  end
  cursors[queue] = reply[1]
end

local function recover(queue)
  local held = {}
  for at = first_held, #ARGV do held[ARGV[at]] = true end
  local reply = with_group(queue, function()
    return redis.pcall('XREADGROUP', 'GROUP', GROUP, consumer, 'STREAMS', stream_of(queue), '0')
  end)
  for _, entry in ipairs(reply and reply[1] and reply[1][2] or {}) do
    if #claimed >= slots then return end
    if entry[2] and not held[holder_of(queue, entry[1])] then take(queue, entry[1], entry[2], false) end
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

local next_due = promote()
for at = REST, first_held - 1 do
  local queue = ARGV[at]
  if first_held <= #ARGV then recover(queue) end
  if #claimed < slots then sweep(queue) end
  if #claimed < slots then read(queue) end
end
-- More may be waiting than was read: the next idle worker is woken.
if is_full or #claimed >= slots then
  for at = REST, first_held - 1 do ring(ARGV[at]) end
end
keep_fence()
return {integer(now), next_due or '-1', cjson.encode(cursors), stale, claimed, struck, crashed, parked}
