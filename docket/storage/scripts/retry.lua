--! include runs
--! include strikes
--! include adding
-- Has dead letters run once more, each as a new acceptance of its key. Who retried it, and what it was before, stays in
-- the record.
--
-- author    who wants it
-- why       and the reason, if there is one
-- deed      the id of what this is a part of, if it has one
-- REST...   per dead letter: key, nonce, call ('' is the one that it had), what was changed of that (JSON, or '')
-- returns   per dead letter: {word, state, generation}; word is SCHEDULED, STRUCK (a rule for its task does not let it
--           run; with the state 'parked' it was parked, else it is still a dead letter), NOT_DEAD (it is in that
--           state), UNKNOWN (there is no record of it) or FAILED (state is then what is wrong with it)

local FIELDS = 4
local REMEMBERED = 8     -- retries that a record tells of, the last ones
local ERROR_SHOWN = 300  -- bytes of each error

local function note(run, text, entry)
  local lineage = {}
  for _, earlier in ipairs(text and gates.decoded(text) or {}) do lineage[#lineage + 1] = earlier end
  lineage[#lineage + 1] = entry
  while #lineage > REMEMBERED do table.remove(lineage, 1) end
  redis.call('HSET', run, 'lineage', cjson.encode(lineage))
end

-- Whether options of a call name any of these.
local function is_in(options, ...)
  local its = gates.decoded(options)
  for _, name in ipairs({...}) do
    if its[name] then return true end
  end
  return false
end

local function retry(key, nonce, call, changes)
  local run = run_of(key)
  local state, task, its_call, queue, trace, schema, its_nonce, ring, generation, options =
    unpack(redis.call('HMGET', run, 'state', 'task', 'call', 'queue', 'trace', 'schema', 'nonce', 'ring', 'generation', 'options'))
  if not state then return {'UNKNOWN', '', 0} end
  if nonce == its_nonce or passed.has(ring, nonce) then return {'SCHEDULED', state, tonumber(generation or FIRST)} end
  if state ~= 'failed' then return {'NOT_DEAD', state, tonumber(generation or FIRST)} end
  local attempts, completed, reason, error, lineage =
    unpack(redis.call('HMGET', run, 'attempt', 'completed', 'reason', 'error', 'lineage'))
  -- A call that has named the default queue stays there; any other goes where its task does now.
  if not queue then queue = options and is_in(options, 'queue', 'priority') and 'default' or '' end
  local reply = add('replace', key, nonce, 0, task, call == '' and its_call or call, queue, '1', trace or '', '', '', '0', nil, options)
  if reply[2] == 'failed' then return reply end
  -- Whoever has it run again wants that also where it should have begun long ago.
  if options and redis.call('HDEL', run, 'expires') == 1 then redis.call('ZREM', P .. ':expiring', key) end
  -- Arguments stay in the shape in which they were written, also where some of them are others now.
  if schema then redis.call('HSET', run, 'schema', schema) else redis.call('HDEL', run, 'schema') end
  note(run, lineage, {
    generation = generation or FIRST, attempts = attempts or '1', ended = completed or '', reason = reason or '',
    error = string.sub(error or '', 1, ERROR_SHOWN), at = integer(now), by = author, why = why, changes = changes, deed = deed})
  return reply
end

local function retry_from(at)
  return retry(ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3])
end

local replies = {}
for at = REST, #ARGV, FIELDS do
  local reply, trouble = attempt(retry_from, at)
  replies[#replies + 1] = reply or {'FAILED', trouble, 0}
end
ring_bells()
return replies
