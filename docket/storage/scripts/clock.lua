--! include runs
-- Looks what is due, and moves the time where that can be done.
--
-- verb      look · begin: time stands still from now on · stand: it stands still at `at` · go: it goes on from where it
--           stands
-- at        ms
-- REST...   queues ('' is the default queue)
-- returns   {now in ms, next due in ms or -1, how many are due or running in these queues}, or nothing if
--           time stands still already when it is to begin
--
-- Cooldowns are keys that expire, by the server's own clock: what is left of them is cut by what is skipped.

local CLOCK = P .. ':clock'
local now = milliseconds()

local function cut_cooldowns(skipped)
  local names = string.gsub(P .. ':cooldown:', '[%*%?%[%]%^\\]', '\\%0') .. '*'
  for _, mark in ipairs(redis.call('KEYS', names)) do
    local left = redis.call('PTTL', mark) - skipped
    if left > 0 then redis.call('PEXPIRE', mark, integer(left)) else redis.call('DEL', mark) end
  end
end

if verb == 'begin' then
  if string.sub(redis.call('GET', CLOCK) or '', 1, 1) == '@' then return {} end
  redis.call('SET', CLOCK, '@' .. integer(now))
elseif verb == 'stand' then
  cut_cooldowns(tonumber(at) - now)
  now = tonumber(at)
  redis.call('SET', CLOCK, '@' .. integer(now))
elseif verb == 'go' then
  local time = server.call('TIME')
  redis.call('SET', CLOCK, integer(now - time[1] * 1000 - math.floor(time[2] / 1000)))
end

local due = 0
for index = REST, #ARGV do due = due + redis.call('XLEN', stream_of(ARGV[index])) end
local upcoming = redis.call('ZRANGE', P .. ':queue', 0, 0, 'WITHSCORES')[2]
return {integer(now), upcoming or '-1', due}
