-- How an execution comes into being. Expects runs.lua and strikes.lua.

local LIVE = {scheduled = true, queued = true, running = true, parked = true}
local ASKED_AGAIN = 60000   -- ms for which a call or a settlement may be sent again, as nobody has heard its answer
local now = milliseconds()
-- What many dockets have none of, in one question.
local is_declared = redis.call('EXISTS', P .. ':strikes', P .. ':routes', P .. ':schemas') > 0
local struck = is_declared and redis.call('HLEN', P .. ':strikes') > 1
local bells = {}   -- rung once at the end, however many executions came

-- What is remembered in the place of a record that this call displaces: its nonce, and the run that has ended it.
-- After a while nobody asks any more.
local function ring_of_displaced(nonce, ring, fence, consumer, completed)   --! rare
  if completed and now - completed > ASKED_AGAIN then return nil end
  if completed and fence then ring = passed.with(ring, passed.run(fence, consumer)) end
  if passed.is_of_caller(nonce) then ring = passed.with(ring, nonce) end
  return ring or nil
end

-- The record of a dead letter may have expired while its place in the index is still there. Not before the first
-- write: after that a script is not refused any more for want of memory.
local function forget_death(key, nonce)
  if nonce ~= '*' then redis.call('ZREM', P .. ':dead', key) end
end

-- The queue of a call that names one: 'default' is the one without a name, '/high' that of its task at a priority.
local function queue_of_call(queue, task)   --! rare
  if string.sub(queue, 1, 1) ~= '/' then return queue == 'default' and '' or queue end
  local route = is_declared and redis.call('HGET', P .. ':routes', task) or 'default'
  route = string.match(route, '^(.*)/high$') or string.match(route, '^(.*)/low$') or route
  if queue ~= '/normal' then return route .. queue end
  return route == 'default' and '' or route
end

-- Whether the key of an execution that is over stays taken: the call that was accepted has said for how long.
local function is_taken(run, options)   --! rare
  local once = string.match(options, '"once":(%w+)')
  return once == 'true' or (once and tonumber(redis.call('HGET', run, 'completed') or 0) + tonumber(once) > now)
end

-- Returns {word, state, generation}. Sent twice it answers as the first time: a nonce that is already
-- recorded, or that was before another call has displaced it, is this very call. A nonce of '*' says that the key itself was made for this call, so that
-- any record of it is ours. What is struck by a rule that parks is stored, and STRUCK with the state
-- 'parked'; `rule` is one that its caller has found, because it looks at arguments ('' if there is none).
-- One that was first sent so long ago that its record may be gone (`is_late` is '1') is UNKNOWN if nothing tells of it.
-- `when` is the moment in us where that is not a whole ms (''). With a `slot` it waits for that: the caller makes it one of those who do.
-- `options` are those of the call, as JSON (''): the record keeps them as they are.
local function add(mode, key, nonce, due, task, call, queue, attempt, trace, rule, when, is_late, slot, options)
  local run = run_of(key)
  local state, before, its_nonce, its_ring, its_options =
    unpack(redis.call('HMGET', run, 'state', 'generation', 'nonce', 'ring', 'options'))
  local generation = state and tonumber(before or FIRST) or 0

  if state then
    if nonce == '*' or nonce == its_nonce or passed.has(its_ring, nonce) then
      return {state == 'parked' and redis.call('HEXISTS', run, 'strike') == 1 and 'STRUCK' or 'SCHEDULED', state, generation}
    end
    if mode == 'add' and LIVE[state] then return {'ALREADY_SCHEDULED', state, generation} end
    if mode == 'add' and its_options and is_taken(run, its_options) then return {'ALREADY_DONE', state, generation} end
  end
  -- It may have been accepted, have run and be forgotten.
  if is_late == '1' then return {'UNKNOWN', '', generation} end
  local keeper
  if struck then
    local of_task = 'task:' .. task
    local action = action_of(of_task, now)
    if action == 'drop' then return {'STRUCK', state or '', generation} end
    if action then keeper = of_task
    elseif rule and rule ~= '' and action_of(rule, now) then keeper = rule
    end
  end
  local ring
  if state then
    local its_queue, message, schedule, fence, consumer, completed =
      unpack(redis.call('HMGET', run, 'queue', 'message', 'schedule', 'fence', 'consumer', 'completed'))
    ring = ring_of_displaced(its_nonce, its_ring, fence, consumer, completed)
    detach(key, state, its_queue, message)
    if schedule and LIVE[state] then
      turns.leave_schedule(key, schedule, state == 'running' and gates.owner_of(key, its_nonce))
    end
    if not LIVE[state] then pcall(evicting.forget, key) end
    redis.call('DEL', run, P .. ':results:' .. key, P .. ':progress:' .. key)
    if its_options then redis.call('ZREM', P .. ':expiring', key) end
  end

  if queue ~= '' then queue = queue_of_call(queue, task)
  elseif is_declared then queue = redis.call('HGET', P .. ':routes', task) or ''
  end
  generation = generation + 1
  local number = integer(generation)
  if due == 0 then due = now end
  local fields = {'task', task, 'call', call, 'due', integer(due)}
  local function with(name, value, default)
    if value ~= default then fields[#fields + 1] = name; fields[#fields + 1] = value end
  end
  with('generation', number, FIRST)
  with('attempt', attempt, '1')
  with('queue', queue, '')
  with('trace', trace, '')
  with('when', when or '', '')
  with('nonce', nonce, '*')
  with('ring', ring, nil)
  with('options', options or '', '')
  with('schema', is_declared and schema_of(task) or nil, nil)
  local expires = options and options ~= '' and expiry_of(options, due)
  if keeper then
    redis.call('HSET', run, unpack(fields))
    if expires then expire_at(key, expires) end
    forget_death(key, nonce)
    park_struck(key, keeper, now, integer(due))
    return {'STRUCK', 'parked', generation}
  end
  if slot then
    state = 'scheduled'
    with('waits', slot)
  elseif due <= now then
    state = 'queued'
    with('message', put_on_stream(key, queue, number))
    bells[queue] = true
  else
    state = 'scheduled'
  end
  redis.call('HSET', run, 'state', state, unpack(fields))
  if expires then expire_at(key, expires) end
  if state == 'scheduled' and not slot then put_in_future(key, queue, integer(due)) end
  announce(key, state, told_due(integer(due), when))
  forget_death(key, nonce)
  return {'SCHEDULED', state, generation}
end

local function ring_bells()
  for queue in pairs(bells) do ring(queue) end
end
