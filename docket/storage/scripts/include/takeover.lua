-- A part of claim.lua: what others have lost, and suspects.

local function take_over_from(queue, other, how)
  local messages = {}
  for _, entry in ipairs(leases.pending(queue, other, slots - #claimed)) do messages[#messages + 1] = entry[1] end
  if #messages > 0 then
    local found = {}
    for _, entry in ipairs(redis.call('XCLAIM', stream_of(queue), GROUP, consumer, 0, unpack(messages))) do
      if entry and entry[2] then
        found[entry[1]] = true
        take(queue, entry[1], entry[2], other, how)
      end
    end
    for _, message in ipairs(messages) do
      if not found[message] then take_off_stream(queue, message) end
    end
  end
  leases.leave(queue, other)
end

-- Takes over what others have lost.
local function take_over(queue)
  local moved = 0
  local lost = redis.call('ZRANGE', leases.lost_of(queue), 0, EXPIRED - 1, 'WITHSCORES')
  for at = 1, #lost, 2 do
    local other, how = lost[at], tonumber(lost[at + 1])
    if other == consumer then
      redis.call('ZREM', leases.lost_of(queue), consumer)
    elseif how >= leases.DEAD then
      if moved < leases.SLICE then moved = moved + suspects.suspect_all(queue, other, how == leases.DEAD_ALONE, leases.SLICE - moved) end
      has_dead = has_dead or moved >= leases.SLICE
    elseif #claimed < slots and waits ~= '' and not paused[queue] and (how == leases.RELEASED or patient ~= '1') then
      take_over_from(queue, other, how)
    end
  end
end

local function is_in_quarantine(queue)
  local by = redis.call('GET', suffixed('quarantine', queue))
  return by and by ~= consumer
end

-- Puts a suspect on its stream and takes it from there at once: who reads the stream meets an entry that is held.
local function run_suspect(queue, key)
  local known = redis.call('HMGET', run_of(key), 'state', 'suspect', 'generation', 'task', 'due', 'crashes', 'alone', 'death', 'cancel')
  redis.call('ZREM', suspects_of(queue), key)
  if known[1] ~= 'queued' or not known[2] then return end
  local crashes, alone = tonumber(known[6] or 0), tonumber(known[7] or 0)
  if suspects.is_guilty(alone, crashes) then return condemn(key, known[4], known[5], crashes, alone, known[8]) end
  local generation = known[3] or FIRST
  local message = put_on_stream(key, queue, generation)
  redis.call('XCLAIM', stream_of(queue), GROUP, consumer, 0, message, 'FORCE', 'JUSTID')
  redis.call('HSET', run_of(key), 'message', message)
  redis.call('HDEL', run_of(key), 'reason')
  take(queue, message, {'key', key, 'generation', generation}, consumer)
end

-- Suspects run among few others. A worker that runs other things as well stops taking those while one waits for
-- its turn; after a while it runs beside them all the same, and its death would say nothing.
local function take_suspects(queue)
  if paused[queue] or is_in_quarantine(queue) then return end
  local waiting = redis.call('ZRANGE', suspects_of(queue), 0, slots - 1, 'WITHSCORES')
  for at = 1, #waiting, 2 do
    local key, since = waiting[at], tonumber(waiting[at + 1])
    local level, trouble = attempt(redis.call, 'HGET', run_of(key), 'suspect')
    local most = suspects.company(concurrency, tonumber(level or 1))
    if trouble then
      redis.call('ZREM', suspects_of(queue), key)
      gates.free_slots_of_wreck(key)
      put_aside(key, trouble)
    elseif #claimed >= slots or (waits ~= '' and true_now - since < tonumber(waits)) then
      return
    elseif held + #claimed > most and (#claimed > 0 or true_now - since < COMPANY) then
      is_waiting = #claimed == 0
      slots = #claimed
      return
    else
      local before = #claimed
      attempt(run_suspect, queue, key)
      -- One that was cancelled, or is dead now, keeps nobody away.
      if #claimed > before then slots = math.min(slots, math.max(most + 1 - held, #claimed)) end
    end
  end
end

for_each_queue(take_over)
for_each_queue(take_suspects)
