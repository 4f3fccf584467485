--! include full
-- Adds a deed of an operator to the audit, unless this call has added it already; the oldest entries go.
--
-- nonce     made for this call
-- keep      ms that an entry is kept
-- bytes     bytes that all of them take, about: whole nodes of the stream go
-- REST...   the fields of the entry and their values
-- returns   the id of the entry

local RECENT = 100     -- entries among which one that is sent again is looked for
local SLICE = 10000    -- entries that go at most, by each bound
local ASSUMED = 512    -- bytes of an entry, where a server does not tell the size of a stream
local stream, trimmed = P .. ':audit', P .. ':trimmed'

for _, entry in ipairs(redis.call('XREVRANGE', stream, '+', '-', 'COUNT', RECENT)) do
  if entry[2][2] == nonce then return entry[1] end
end
local id = redis.call('XADD', stream, '*', 'nonce', nonce, unpack(ARGV, REST))
redis.call('PEXPIRE', stream, keep)

local function take_away(bound, limit)
  return redis.call('XTRIM', stream, bound, '~', string.format('%.0f', limit), 'LIMIT', SLICE) > 0
end

local why
if take_away('MINID', math.max(0, tonumber(string.match(id, '^%d+')) - keep)) then why = 'age' end
local length, size = redis.call('XLEN', stream), redis.pcall('MEMORY', 'USAGE', stream)
local most = math.floor(bytes / (type(size) == 'number' and size / length or ASSUMED))
if length > most and take_away('MAXLEN', most) then why = 'memory' end
-- Why the oldest are gone is written down, for whoever asks how far back it reaches.
if why then
  redis.call('HSET', trimmed, 'audit', why)
  if redis.call('PTTL', trimmed) < tonumber(keep) then redis.call('PEXPIRE', trimmed, keep) end
end
return id
