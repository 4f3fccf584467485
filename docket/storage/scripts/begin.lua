--! include runs
-- Hands one execution, known by its key, to whoever asks for it, as claim.lua does for what is due.
--
-- key          the execution
-- generation   the one that is meant; 0 is whatever is there
-- consumer     who asks: the name that people see, a colon, a token of its own
-- returns      {message, queue, generation, fence, started (ms), identity}, or nothing if it is not to be had:
--              gone, superseded, running elsewhere, ended, or parked
--
-- It stays on its stream: without a settlement it is delivered again.

local run = run_of(key)
local now = milliseconds()
local known = redis.call('HMGET', run, 'state', 'generation', 'queue', 'message', 'due', 'cancel', 'nonce')
local state, current, queue, message = known[1], known[2] or FIRST, known[3] or '', known[4]
if generation ~= '0' and generation ~= current then return {} end
if (state ~= 'queued' and state ~= 'scheduled') or known[6] then return {} end

if state == 'scheduled' then
  detach(key, state, queue, message)
  message = put_on_stream(key, queue, current)
  announce(key, 'queued', known[5])
elseif redis.call('ZREM', suspects_of(queue), key) == 1 then
  message = put_on_stream(key, queue, current)
  redis.call('HDEL', run, 'reason')
end
local fence = next_fence()
redis.call('HSET', run, 'state', 'running', 'fence', fence, 'consumer', consumer, 'started', integer(now), 'message', message)
announce(key, 'running', known[5], name_of(consumer), integer(now))
return {message, queue, current, fence, integer(now), identity_of(key, known[7])}
