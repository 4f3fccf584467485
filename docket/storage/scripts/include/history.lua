-- What has ended, and each attempt that has failed, in two streams, so that successes never push failures out. Each is
-- bounded in bytes and in age. Nothing here hinders what it tells of: a key that holds something else gets no entries.
-- Expects runs.lua, and HISTORY: '<ms that entries are kept> <bytes of each stream>'.

local LOOK = 256       -- entries between two looks at the size of a stream
local SLICE = 10000    -- entries that one look takes away at most, of each bound
local ASSUMED = 256    -- bytes of an entry, where a server does not tell the size of a stream
local TRIMMED = P .. ':trimmed'

local noted = {}   -- entries of this script, by stream

local function note(state, reason, key, task, queue, attempt, due, started, seconds, worker, about)
  local name = state == 'completed' and 'history:completed' or 'history'
  local reply = redis.pcall('XADD', P .. ':' .. name, '*', 'key', key, 'task', task, 'queue', queue, 'state', state,
    'reason', reason, 'attempt', attempt, 'due', due, 'started', started, 'seconds', seconds, 'worker', worker, 'about', about)
  if type(reply) == 'table' and reply.err then return end
  noted[name] = (noted[name] or 0) + 1
  is_noted = true
end

local function take_away(stream, bound, limit)
  local reply = redis.pcall('XTRIM', stream, bound, '~', limit, 'LIMIT', SLICE)
  return type(reply) == 'number' and reply > 0
end

-- How large an entry is, is measured; why the oldest are gone is written down, for whoever asks how far back it reaches.
local function shorten(name, stream, length, keep, bytes)
  local size = redis.pcall('MEMORY', 'USAGE', stream)
  local most = math.floor(bytes / (type(size) == 'number' and size / length or ASSUMED))
  local why
  if take_away(stream, 'MINID', integer(own_milliseconds() - keep)) then why = 'age' end
  if length > most and take_away(stream, 'MAXLEN', integer(most)) then why = 'memory' end
  if not why then return end
  redis.call('HSET', TRIMMED, name, why)
  -- The audit may be kept for longer.
  if redis.call('PTTL', TRIMMED) < keep then redis.call('PEXPIRE', TRIMMED, integer(keep)) end
end

-- Called at the end of every script that has noted anything. A docket in which nothing ends any more forgets all of it.
local function bound()
  local keep, bytes = string.match(HISTORY, '^(%d+) (%d+)$')
  for name, count in pairs(noted) do
    local stream = P .. ':' .. name
    redis.call('PEXPIRE', stream, keep)
    local length = redis.call('XLEN', stream)
    if length % LOOK < count then shorten(name, stream, length, tonumber(keep), tonumber(bytes)) end
  end
end
