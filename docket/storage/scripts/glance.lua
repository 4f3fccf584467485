-- What is due next of all schedules, and how many executions each worker holds. It only reads.
--
-- shown     how many schedules
-- REST...   queues ('' is the default queue)
-- returns   {name, ms, ... of the schedules that are due next}, {name of a worker's life, how many, ... of each queue}

local GROUP, CHUNK = 'docket-workers', 1000
local schedules = P .. ':schedules'

-- What is stored under a key may be something else: then nothing is known of it.
local function ask(reply)
  if type(reply) == 'table' and reply.err then return {} end
  return reply
end

local fields = {}
for _, field in ipairs(ask(redis.pcall('HKEYS', schedules))) do
  if string.sub(field, 1, 5) == 'next:' then fields[#fields + 1] = field end
end
local due = {}
for first = 1, #fields, CHUNK do
  local last = math.min(first + CHUNK - 1, #fields)
  for at, time in ipairs(redis.call('HMGET', schedules, unpack(fields, first, last))) do
    local ms = tonumber(time)
    if ms and ms > 0 then due[#due + 1] = {string.sub(fields[first + at - 1], 6), ms} end
  end
end
table.sort(due, function(one, other)
  if one[2] ~= other[2] then return one[2] < other[2] end
  return one[1] < other[1]
end)

local upcoming, held = {}, {}
for at = 1, math.min(#due, tonumber(shown)) do
  upcoming[#upcoming + 1] = due[at][1]
  upcoming[#upcoming + 1] = string.format('%.0f', due[at][2])
end
for at = REST, #ARGV do
  local stream = P .. ':stream' .. (ARGV[at] ~= '' and ':' .. ARGV[at] or '')
  for _, holder in ipairs(ask(redis.pcall('XPENDING', stream, GROUP))[4] or {}) do
    held[#held + 1] = holder[1]
    held[#held + 1] = holder[2]
  end
end
return {upcoming, held}
