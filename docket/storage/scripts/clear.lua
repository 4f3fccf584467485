--! include runs
--! include cancelling
-- Cancels executions that wait; those that run, are parked, or are over stay as they are.
--
-- ttl       ms for which a cancelled execution is remembered
-- REST...   keys
-- returns   how many were cancelled

local function clear(key)
  local state = redis.call('HGET', run_of(key), 'state')
  if state ~= 'scheduled' and state ~= 'queued' then return 0 end
  cancel(key, ttl)
  return 1
end

local cleared = 0
for at = REST, #ARGV do cleared = cleared + (attempt(clear, ARGV[at]) or 0) end
return cleared
