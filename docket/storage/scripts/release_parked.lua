--! include runs
--! include strikes
--! include parking
-- Puts parked executions back on their queues, by their keys; who wants that, and why, stays in their records.
--
-- note      who wants it, why, and by which deed, as JSON
-- dry       '1' if it only says what would become of them
-- REST...   per execution: key, identity of the acceptance that is meant ('' is any)
-- returns   per execution: {word, detail}; word is RELEASED, STRUCK (by the rule `detail`: it would be parked again, or
--           dropped), NOT_PARKED (it is in the state `detail`), MOVED (its key stands for another acceptance by now),
--           UNKNOWN, or FAILED (its record is damaged)

local function active_rule(known)
  local of_task = 'task:' .. known[4]
  if known[3] and action_of(known[3], now) then return known[3] end
  return action_of(of_task, now) and of_task
end

local function release_key(key, identity)
  local run = run_of(key)
  local known = redis.call('HMGET', run,
    'state', 'reason', 'strike', 'task', 'queue', 'generation', 'due', 'schedule', 'nonce', 'released_by')
  if not known[1] then return {'UNKNOWN', ''} end
  if identity ~= '' and identity_of(key, known[9]) ~= identity then return {'MOVED', ''} end
  if known[10] == note then return {'RELEASED', ''} end   -- it is sent again
  if known[1] ~= 'parked' then return {'NOT_PARKED', known[1]} end
  local rule = active_rule(known)
  if rule then return {'STRUCK', rule} end
  if dry ~= '1' then
    put_back(key, known)
    redis.call('HSET', run, 'released_by', note)
  end
  return {'RELEASED', ''}
end

local replies = {}
for at = REST, #ARGV, 2 do
  replies[#replies + 1] = attempt(release_key, ARGV[at], ARGV[at + 1]) or {'FAILED', ''}
end
for queue in pairs(bells) do ring(queue) end
return replies
