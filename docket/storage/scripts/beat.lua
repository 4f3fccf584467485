-- One beat of a supervisor: it tells how it stands, and leads if nobody else does.
--
-- owner     whose configuration it follows
-- who       the supervisor
-- lease     for how many ms it leads unless it beats again; 0 if it may not lead, and resigns if it does
-- about     how it stands, as its readers understand it
-- returns   {1 if it leads, the revision in force (0: none), who leads, 1 if something of a commit is still to follow,
--           1 if the server is full, which commit has put the revision in force: a number that is found again may be another one}

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local supervisors, leader = P .. ':supervisors', P .. ':leader:' .. owner
local LONG_GONE = 60000

local function say_format_and_beat()
  say_format()
  redis.call('HSET', supervisors, who, string.format('%.0f\n', now) .. about)
end

-- A server that is full refuses the first write of a script if that takes memory, and no later one.
local ok, refusal = pcall(say_format_and_beat)
if not ok then
  refusal = type(refusal) == 'table' and refusal.err or refusal
  if not string.find(refusal, 'OOM', 1, true) then return error(refusal, 0) end
  redis.call('DEL', P .. ':none')
  say_format_and_beat()
end
local holder = redis.call('GET', leader)
if lease == '0' then
  if holder == who then redis.call('DEL', leader) end
  if holder == who or not holder then holder = '' end
elseif not holder or holder == who then
  redis.call('SET', leader, who, 'PX', lease)
  holder = who
  local all = redis.call('HGETALL', supervisors)
  for at = 1, #all, 2 do
    local heard = tonumber(string.match(all[at + 1], '^(%d+)\n') or '0')
    if heard < now - LONG_GONE then redis.call('HDEL', supervisors, all[at]) end
  end
end
local known = redis.call('HMGET', P .. ':configuration:' .. owner, 'revision', 'token')
return {holder == who and 1 or 0, known[1] or '0', holder,
  redis.call('EXISTS', P .. ':staging:' .. owner, P .. ':removing') > 0 and 1 or 0, ok and 0 or 1, known[2] or ''}
