--! include runs
--! include strikes
--! include adding
-- Runs due times of a schedule that have passed, each that has had no run before.
--
-- id         owner/name
-- task, call the execution
-- REST...    per due time: the time (ms), key
-- returns    per due time: FIRED, ALREADY (it had a run) or STRUCK

local ran = P .. ':ran:' .. id

local function run_once(due, key)
  if redis.call('ZSCORE', ran, due) or redis.call('EXISTS', run_of(key)) == 1 then return 'ALREADY' end
  local reply = add('add', key, '*', 0, task, call, '', '1', '')
  if reply[1] == 'STRUCK' and reply[2] ~= 'parked' then return 'STRUCK' end
  redis.call('ZADD', ran, due, due)
  return 'FIRED'
end

local replies = {}
for at = REST, #ARGV, 2 do replies[#replies + 1] = run_once(ARGV[at], ARGV[at + 1]) end
ring_bells()
return replies
