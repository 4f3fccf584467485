-- Suspects: runs that were in flight in a process that died. Any of them may have killed it, so they run next among
-- fewer others at each death, until the guilty one has died alone. They wait in P:suspects:<queue>, and not on the stream:
-- who reads that takes no notice of them. Expects runs.lua and leases.lua.

local ALONE, IN_ALL = 3, 10   -- so many deaths make a dead letter: while it ran alone, and altogether

local function is_guilty(alone, crashes)
  return alone >= ALONE or crashes >= IN_ALL
end

-- How many others may run beside a suspect in its process.
local function company(concurrency, level)
  return math.floor(concurrency / 4 ^ level)
end

-- Takes a run off its stream to where suspects wait. Its record keeps the message, also when it has another one, so
-- that whoever runs it still, and was only silent, is told that it has lost it.
local function suspect(key, queue, message, due, crashes, alone, level, death)
  local run = run_of(key)
  take_off_stream(queue, message)
  redis.call('HDEL', run, 'consumer', 'started')
  redis.call('HSET', run, 'state', 'queued', 'reason', 'suspect', 'crashes', crashes, 'alone', alone, 'suspect', level, 'death', death, 'before', message)
  redis.call('ZADD', suspects_of(queue), integer(own_milliseconds()), key)
  announce(key, 'queued', due)
  ring(queue)
end

-- Makes suspects of what a dead consumer held in a queue, `most` at a time; tells how many entries it has moved.
local function suspect_all(queue, consumer, is_alone, most)
  local death = redis.call('GET', leases.death_of(consumer)) or ''
  local entries = leases.pending(queue, consumer, most)
  for _, entry in ipairs(entries) do
    local message = entry[1]
    local _, trouble = attempt(function()
      local found = redis.call('XRANGE', stream_of(queue), message, message)[1]
      local key = found and found[2][2] or ''
      local known = redis.call('HMGET', run_of(key), 'state', 'message', 'consumer', 'due', 'crashes', 'alone', 'suspect')
      if known[2] ~= message or (known[1] ~= 'running' and known[1] ~= 'queued') then
        take_off_stream(queue, message)
      elseif known[1] == 'running' and known[3] and known[3] ~= consumer then
        leases.hand_to(known[3], queue, message)
      else
        suspect(key, queue, message, known[4], (known[5] or 0) + 1, (known[6] or 0) + (is_alone and 1 or 0),
          (known[7] or 0) + 1, death)
      end
    end)
    if trouble then take_wreck_off(queue, message) end
  end
  if #entries < most then leases.leave(queue, consumer) end
  return #entries
end
