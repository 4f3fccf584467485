-- When the last revisions became active, of the owners whose supervisors live. It only reads.
--
-- returns   per revision: its owner, its number and the ms, with a space between

local SHOWN = 50   -- revisions of each owner

local found, told = {}, {}

local function tell(owner)
  if type(owner) ~= 'string' or told[owner] then return end
  told[owner] = true
  local revisions = redis.pcall('LRANGE', P .. ':revisions:' .. owner, 0, SHOWN - 1)
  for _, stamped in ipairs(revisions) do
    found[#found + 1] = owner
    found[#found + 1] = string.match(stamped, '^(%d+ %d+)\n') or ''
  end
end

for _, text in ipairs(redis.call('HVALS', P .. ':supervisors')) do
  local ok, about = pcall(cjson.decode, string.match(text, '\n(.*)$') or '')
  if ok and type(about) == 'table' then tell(about.owner) end
end
return found
