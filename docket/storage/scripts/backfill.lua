--! include runs
--! include strikes
--! include adding
--! include outcomes
--! include naming
-- Runs a schedule because somebody wants that: at due times that have passed, or now.
--
-- id         owner/name
-- word       what is remembered of each: backfilled or triggered
-- task       what is run
-- queue, options   those of the executions, as schedule.lua takes them
-- REST...    per due time: the time (ms), key, call
-- returns    per due time: FIRED, ALREADY (it had a run) or STRUCK

local inner = inner_name(id)
local is_backfill = word == 'backfilled'

-- What is made up for takes its turn with the other runs: overlap is what must not happen, whoever wants the run. It
-- does not count for the limit, as nobody but an operator has it run. What is triggered runs beside all that.
local function run_once(due, key, call)
  if redis.call('ZSCORE', P .. ':ran:' .. inner, due) or redis.call('EXISTS', run_of(key)) == 1 then return 'ALREADY' end
  local waits = is_backfill and not turns.take_turn(inner, key) and turns.slot_of(inner) or nil
  local reply = add('add', key, '*', 0, task, call, queue, '1', '', nil, nil, nil, waits, options)
  if reply[1] == 'STRUCK' and reply[2] ~= 'parked' then return 'STRUCK' end
  note_outcome(inner, due, word, key)
  if is_backfill then
    remember_run(inner, due)
    redis.call('HSET', run_of(key), 'schedule', inner)
    redis.call('ZADD', P .. ':pending:' .. inner, integer(now), key)
    if waits and reply[2] == 'scheduled' then turns.wait_for_turn(inner, key, due, now) end
  end
  return 'FIRED'
end

local replies = {}
for at = REST, #ARGV, 3 do replies[#replies + 1] = run_once(ARGV[at], ARGV[at + 1], ARGV[at + 2]) end
ring_bells()
return replies
