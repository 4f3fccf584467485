-- The last EIGHT things that a record was once known by, a line each: nonces of calls that others have
-- displaced, and runs whose end was recorded although the record lived on. Whoever has missed an answer, and
-- asks again, is found here.

local EIGHT = 8

local function has(ring, entry)
  return ring and string.find('\n' .. ring .. '\n', '\n' .. entry .. '\n', 1, true) ~= nil
end

local function with(ring, entry)
  local entries = {}
  for known in string.gmatch(ring or '', '[^\n]+') do entries[#entries + 1] = known end
  entries[#entries + 1] = entry
  return table.concat(entries, '\n', math.max(1, #entries - EIGHT + 1))
end

-- Whether a record was accepted with this nonce: a perpetual run has one that nobody asks for.
local function is_of_caller(nonce)
  return nonce and string.sub(nonce, 1, 1) ~= '~'
end

-- A run as such an entry: its fence, and the life of the worker that had it.
local function run(fence, consumer)
  return '#' .. fence .. '/' .. (string.match(consumer, '[^:]*$'))
end
