--! include runs
--! include strikes
--! include adding
--! include outcomes
--! include naming
-- Runs a schedule because somebody wants that: at due times that have passed, or now.
--
-- id         owner/name
-- word       what is remembered of each: backfilled or triggered
-- task, call the execution
-- REST...    per due time: the time (ms), key
-- returns    per due time: FIRED, ALREADY (it had a run) or STRUCK

local inner = inner_name(id)

local function run_once(due, key)
  if redis.call('ZSCORE', P .. ':ran:' .. inner, due) or redis.call('EXISTS', run_of(key)) == 1 then return 'ALREADY' end
  local reply = add('add', key, '*', 0, task, call, '', '1', '')
  if reply[1] == 'STRUCK' and reply[2] ~= 'parked' then return 'STRUCK' end
  if word == 'backfilled' then remember_run(inner, due) end
  note_outcome(inner, due, word, key)
  return 'FIRED'
end

local replies = {}
for at = REST, #ARGV, 2 do replies[#replies + 1] = run_once(ARGV[at], ARGV[at + 1]) end
ring_bells()
return replies
