-- Looks whether the keys under this prefix are ours, and of our format, before anything is written.
--
-- returns   {OURS (also when there is nothing yet), FOREIGN (another program keeps its work here) or FORMAT (another
--           release of ours does), the format that was found ('': there is nothing yet), ours}

local function is_foreign()
  local strikes = redis.call('TYPE', P .. ':strikes').ok
  if strikes ~= 'none' and strikes ~= 'hash' then return true end
  if redis.call('TYPE', P .. ':stream').ok == 'stream' then
    local first = redis.call('XRANGE', P .. ':stream', '-', '+', 'COUNT', 1)[1]
    if first and (first[2][1] ~= 'key' or first[2][3] ~= 'generation' or #first[2] ~= 4) then return true end
  end
  local earliest = redis.call('ZRANGE', P .. ':queue', 0, 0)[1]
  if earliest and redis.call('HEXISTS', P .. ':runs:' .. earliest, 'task') == 0
    and redis.call('EXISTS', P .. ':runs:' .. earliest, P .. ':' .. earliest) > 0 then
    return true
  end
  -- Our heartbeats are in ms; those of others in seconds.
  local latest = redis.call('ZRANGE', P .. ':workers', -1, -1, 'WITHSCORES')[2]
  return latest and tonumber(latest) < 1e11 or false
end

-- What was written before there were numbers has none.
local function format_found()
  local found = redis.call('GET', P .. ':format')
  if found then return found end
  for _, name in ipairs({'stream', 'queue', 'parked', 'dead', 'schedules', 'fence'}) do
    if redis.call('EXISTS', P .. ':' .. name) == 1 then return '1' end
  end
  return ''
end

if is_foreign() then return {'FOREIGN', '', FORMAT} end
local found = format_found()
return {(found == '' or found == FORMAT) and 'OURS' or 'FORMAT', found, FORMAT}
