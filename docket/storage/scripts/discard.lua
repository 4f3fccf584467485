--! include runs
-- Takes dead letters away for good, with whatever is kept of them.
--
-- REST...   keys
-- returns   per key: DISCARDED, NOT_DEAD or UNKNOWN

local function discard(key)
  local state = redis.call('HGET', run_of(key), 'state')
  if state and state ~= 'failed' then return 'NOT_DEAD' end
  redis.call('ZREM', P .. ':dead', key)
  if not state then return 'UNKNOWN' end
  pcall(evicting.forget, key)
  redis.call('DEL', run_of(key), P .. ':results:' .. key, P .. ':progress:' .. key)
  return 'DISCARDED'
end

local replies = {}
for at = REST, #ARGV do replies[#replies + 1] = attempt(discard, ARGV[at]) or 'NOT_DEAD' end
return replies
