--! include runs
-- Lets those go on that wait for a slot of limits that may have grown: a slice per call.
--
-- cursor    where the last call ended; 0 at first
-- REST...   the definitions of the limits
-- returns   {cursor, how many were let in}; call again while either is not 0

local SLICE = 50
local definitions = {}
for at = REST, #ARGV do definitions[ARGV[at]] = true end
local scan = redis.call('HSCAN', P .. ':sizes', cursor, 'COUNT', SLICE)
local left = gates.GRANTS
for at = 1, #scan[2], 2 do
  local definition = string.match(scan[2][at + 1], '\n(.*)$')
  if definitions[definition] then left = left - gates.grant(scan[2][at], left) end
  -- The same slice once more: whoever was let in is not found again.
  if left <= 0 then return {cursor, gates.GRANTS} end
end
return {scan[1], 0}
