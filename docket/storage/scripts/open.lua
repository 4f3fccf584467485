-- Looks whether the keys under this prefix are ours, before anything is written.
--
-- returns   OURS (also when there is nothing yet) or FOREIGN: another program keeps its work here

local strikes = redis.call('TYPE', P .. ':strikes').ok
if strikes ~= 'none' and strikes ~= 'hash' then return 'FOREIGN' end
if redis.call('TYPE', P .. ':stream').ok == 'stream' then
  local first = redis.call('XRANGE', P .. ':stream', '-', '+', 'COUNT', 1)[1]
  if first and (first[2][1] ~= 'key' or first[2][3] ~= 'generation' or #first[2] ~= 4) then
    return 'FOREIGN'
  end
end
local earliest = redis.call('ZRANGE', P .. ':queue', 0, 0)[1]
if earliest and redis.call('HEXISTS', P .. ':runs:' .. earliest, 'task') == 0
  and redis.call('EXISTS', P .. ':runs:' .. earliest, P .. ':' .. earliest) > 0 then
  return 'FOREIGN'
end
-- Our heartbeats are in ms; those of others in seconds.
local latest = redis.call('ZRANGE', P .. ':workers', -1, -1, 'WITHSCORES')[2]
if latest and tonumber(latest) < 1e11 then return 'FOREIGN' end
return 'OURS'
