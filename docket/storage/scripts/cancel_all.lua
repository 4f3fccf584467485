--! include runs
--! include full
--! include cancelling
-- Cancels executions for good, or asks their workers to; who wants that, and why, stays in their records.
--
-- ttl       ms for which a cancelled execution is remembered
-- note      who wants it, why, and by which deed, as JSON
-- REST...   per execution: key, identity of the acceptance that is meant ('' is any)
-- returns   per execution: CANCELLED, REQUESTED, FINISHED or UNKNOWN, as cancel.lua; MOVED if its key stands for another
--           acceptance by now; FAILED if its record is damaged

local function cancel_one(key, identity)
  local run = run_of(key)
  local state, nonce, ended_by = unpack(redis.call('HMGET', run, 'state', 'nonce', 'ended_by'))
  if not state then return 'UNKNOWN' end
  if identity ~= '' and identity_of(key, nonce) ~= identity then return 'MOVED' end
  if ended_by == note then return state == 'running' and 'REQUESTED' or 'CANCELLED' end   -- it is sent again
  local word = cancel(key, ttl)
  if word ~= 'FINISHED' then redis.call('HSET', run, 'ended_by', note) end
  return word
end

local replies = {}
for at = REST, #ARGV, 2 do
  replies[#replies + 1] = attempt(cancel_one, ARGV[at], ARGV[at + 1]) or 'FAILED'
end
return replies
