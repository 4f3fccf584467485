--! include runs
--! include comparing
--! include mending
-- Compares records with whatever refers to them, and repairs what differs if its caller wants that: a slice per call.
--
-- RESULTS   the bytes that results may take; '' if they are not counted
-- place     what the subjects are: a look of comparing.lua
-- name      the queue, limit, group, schedule or consumer that they were found in; '' where there is one place only
-- repair    '1' if it repairs
-- REST...   subjects: keys, messages, owners or names
-- returns   {how many of them were looked at, subject, mismatch, subject, mismatch, ...}

local MENDED = 10   -- repairs in one call: each of them may let GRANTS of those that wait go on
local looked, repaired, found = 0, 0, {}

for at = REST, #ARGV do
  if repaired >= MENDED then break end
  looked = looked + 1
  local subject = ARGV[at]
  local words = attempt(looks[place], subject) or {place == 'record' and 'record-unreadable' or nil}
  for _, word in ipairs(words) do
    found[#found + 1] = subject
    found[#found + 1] = word
    if repair == '1' and mends[word] then
      attempt(mends[word], subject)
      repaired = repaired + 1
    end
  end
end
for queue in pairs(bells) do ring(queue) end
return {looked, unpack(found)}
