-- What the scripts share: the names of keys, and the verbs that move one execution.
-- Expects P, the prefix of the docket.

local GROUP = 'docket-workers'
local FIRST = '1'            -- the generation of a record that holds none: the first one
local DEAD_LETTERS = 10000   -- the oldest beyond this many are forgotten

-- The server's own time, in us, also where tests move it. Servers before 7.0 let it pass while a script runs: it is
-- asked for once, or what happens together would be ordered by chance.
local own_time

local function own_microseconds()
  if not own_time then
    local time = server.call('TIME')
    own_time = time[1] * 1000000 + time[2]
  end
  return own_time
end

local function own_milliseconds()
  return math.floor(own_microseconds() / 1000)
end

local function milliseconds()
  if redis == server then return own_milliseconds() end
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- The same few numbers are asked for again and again: to write one costs as much as a small command.
local written = {}

local function integer(number)
  local text = written[number]
  if not text then
    text = string.format('%.0f', number)
    written[number] = text
  end
  return text
end

local function run_of(key)
  return P .. ':runs:' .. key
end

-- What is wrong with one record, by the words of the server, of Lua, and of its reader of JSON.
local DAMAGE = {'WRONGTYPE', 'not an integer', 'not a valid float', 'Invalid stream ID', 'attempt to ', 'bad argument #', 'Expected '}

-- The answer where a record is to blame: nil, and what was wrong.
local function blame(text)   --! rare
  for _, words in ipairs(DAMAGE) do
    if string.find(text, words, 1, true) then return nil, text end
  end
  return error(text, 0)
end

-- Does something about one execution of many. A record that is not what it should be (somebody wrote another type
-- there, or something else into a field) must not take the others with it: then the answer is nil and what was wrong.
-- Anything else, such as a full memory, concerns them all.
local function attempt(work, ...)
  local ok, reply = pcall(work, ...)
  if ok then return reply end
  return blame(type(reply) == 'table' and reply.err or tostring(reply))
end

-- A key of a queue: the default one is the one without a name.
local function suffixed(name, queue)
  if queue and queue ~= '' then return P .. ':' .. name .. ':' .. queue end
  return P .. ':' .. name
end

local function stream_of(queue)
  return suffixed('stream', queue)
end

-- Where runs wait that were in flight in a process that died: not on the stream.
local function suspects_of(queue)   --! rare
  return suffixed('suspects', queue)
end

-- One token at most, so that a thousand adds wake one idle worker, not a thousand.
local function ring(queue)
  local bell = suffixed('bell', queue)
  if redis.call('LLEN', bell) == 0 then redis.call('RPUSH', bell, '1') end
end

-- The event of a new state: six lines, the error last because it may hold newlines.
local function announce(key, state, due, worker, started, completed, error)
  publish(P .. ':state:' .. key, state, due or '', worker or '', started or '', completed or '', error or '')
end

-- Which shape the arguments of a task have that are added now; nil if it is the first.
local function schema_of(task)   --! rare
  return redis.call('HGET', P .. ':schemas', task) or nil
end

-- P:queues names every queue that ever got work, for whoever looks for all of it: a route that is taken back, or
-- a queue that a task named only once, must not hide what still lies there.
local function remember_queue(queue)   --! rare
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
-- What is written down is RESERVED ahead of them. As a rule time has overtaken it when the next script asks, and one
-- command reads it and writes it.

local RESERVED = 100
local latest_fence, last_reserved = 0, 0

local function next_fence()
  if latest_fence == last_reserved then
    local time = own_microseconds()
    latest_fence = tonumber(redis.call('SET', P .. ':fence', integer(time + RESERVED), 'GET') or 0)
    if latest_fence > time then redis.call('SET', P .. ':fence', integer(latest_fence + RESERVED))
    else latest_fence = time
    end
    last_reserved = latest_fence + RESERVED
  end
  latest_fence = latest_fence + 1
  return string.format('%.0f', latest_fence)   -- each only once
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

-- Asked once per script: as a rule nothing is.
local holding

local function is_anything_held()
  if holding == nil then holding = redis.call('EXISTS', P .. ':holding') == 1 end
  return holding
end

local function take_off_stream(queue, message)
  local stream = stream_of(queue)
  -- pcall: without its group (FLUSHALL) there is nothing to acknowledge.
  redis.pcall('XACK', stream, GROUP, message)
  redis.call('XDEL', stream, message)
end

-- Takes away a message whose record holds something else, and the slots of that run.
local function take_wreck_off(queue, message)   --! rare
  local entry = redis.call('XRANGE', stream_of(queue), message, message)[1]
  take_off_stream(queue, message)
  if entry then gates.free_slots_of_wreck(entry[2][2]) end
end

-- Waits for its due time; becoming the earliest wakes a worker, which then knows the new time.
local function put_in_future(key, queue, due)
  redis.call('ZADD', P .. ':queue', due, key)
  if redis.call('ZRANGE', P .. ':queue', '0', '0')[1] ~= key then return end
  ring(queue)
  say_format()
end

-- Takes a live execution away from where it waits, and gives back whatever it waits for or holds. The body of a
-- running one goes on: its worker's settlement will find another acceptance, be refused, and free its slots.
local function detach(key, state, queue, message)   --! rare
  local known = redis.call('HMGET', run_of(key), 'nonce', 'gates', 'admitted', 'waits', 'consumer')
  if state == 'scheduled' then
    redis.call('ZREM', P .. ':queue', key)
    if known[4] then gates.stop_waiting(key, known[4]) end
  elseif state == 'queued' then
    take_off_stream(queue, message)
    redis.call('ZREM', suspects_of(queue), key)
  elseif state == 'parked' then parked.leave(key)
  end
  if state ~= 'running' then return gates.leave(key, known[1], known[2], known[3]) end
  local owner = gates.owner_of(key, known[1])
  gates.leave_orphan(owner, known[5])
  gates.leave_marks(key, owner, known[2], known[3])
end

-- P:expiring names what has to begin by a moment. The moment stands in the record, which is asked whenever the index is.
local function expire_at(key, moment)   --! rare
  redis.call('HSET', run_of(key), 'expires', integer(moment))
  redis.call('ZADD', P .. ':expiring', integer(moment), key)
end

-- By when an execution with these options must have begun that is due then; nil if it has as much time as it takes.
local function expiry_of(options, due)   --! rare
  local moment, within = string.match(options, '"expires":(%d+)'), string.match(options, '"within":(%d+)')
  return moment and tonumber(moment) or within and due + tonumber(within) or nil
end

-- The end of an execution whose call had options; returns the ms for which its record stays.
local function end_of_options(key, options, ttl)   --! rare
  redis.call('ZREM', P .. ':expiring', key)
  return math.max(tonumber(ttl), tonumber(string.match(options, '"once":(%d+)') or 0))
end

-- An end that no run has brought, as far as its record tells of it. Scripts that have ended anything bound what they
-- have noted when they end.
local is_noted = false

local function note_end(key, state, reason, error)   --! rare
  local task, queue, number, due, started, options =
    unpack(redis.call('HMGET', run_of(key), 'task', 'queue', 'attempt', 'due', 'started', 'options'))
  local about = {error = string.match(error or '', '^(%w+):'), tags = options and (gates.decoded(options) or {}).tags}
  history.note(state, reason or '', key, task or '', queue or '', number or '1', due or '', started or '', '', '',
    next(about) and cjson.encode(about) or '')
end

-- A terminal state: recorded, announced, and from now on allowed to expire. `schedule` is that of which it is a
-- run, `progress` what says that it has told some (false if the caller knows that there is none), `options` those of its
-- call. Returns the ms for which the record stays.
local function finish(key, state, now, ttl, reason, error, worker, started, due, schedule, progress, options)
  local run = run_of(key)
  if schedule == nil then schedule, options = unpack(redis.call('HMGET', run, 'schedule', 'options')) end
  if options then ttl = end_of_options(key, options, ttl) end
  if schedule then turns.turn_over(key, schedule, state, now) end
  local fields = {'state', state, 'completed', integer(now)}
  if reason and reason ~= '' then table.insert(fields, 'reason'); table.insert(fields, reason) end
  if error and error ~= '' then table.insert(fields, 'error'); table.insert(fields, error) end
  redis.call('HSET', run, unpack(fields))
  -- An end that no run has brought: whoever runs it still must not take it for its own.
  if not worker then
    redis.call('HDEL', run, 'fence')
    if HISTORY ~= '' then note_end(key, state, reason, error) end
  end
  redis.call('PEXPIRE', run, ttl)
  if progress ~= false then redis.call('PEXPIRE', P .. ':progress:' .. key, ttl) end
  announce(key, state, due, worker, started, integer(now), error)
  return ttl
end

-- A dead letter: kept for replay, for `ttl` ms and among the latest DEAD_LETTERS. The index goes by when each record
-- goes, which whoever buried it has said.
local function bury(key, now, ttl)   --! rare
  local dead = P .. ':dead'
  redis.call('ZADD', dead, integer(now + ttl), key)
  redis.call('ZREMRANGEBYSCORE', dead, '-inf', integer(now))
  if redis.call('ZCARD', dead) > DEAD_LETTERS then
    local oldest = redis.call('ZPOPMIN', dead)[1]
    pcall(evicting.forget, oldest)
    redis.call('DEL', run_of(oldest), P .. ':results:' .. oldest, P .. ':progress:' .. oldest)
  end
end
