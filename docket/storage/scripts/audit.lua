--! include full
-- Adds a deed of an operator to the audit, unless this call has added it already; the oldest entries go.
--
-- nonce     made for this call
-- most      entries that are kept, about: whole nodes of the stream go
-- lasts     ms after which all of it goes, unless there is another deed
-- REST...   the fields of the entry and their values
-- returns   the id of the entry

local RECENT = 100   -- entries among which one that is sent again is looked for
local stream = P .. ':audit'

for _, entry in ipairs(redis.call('XREVRANGE', stream, '+', '-', 'COUNT', RECENT)) do
  if entry[2][2] == nonce then return entry[1] end
end
local id = redis.call('XADD', stream, 'MAXLEN', '~', most, '*', 'nonce', nonce, unpack(ARGV, REST))
redis.call('PEXPIRE', stream, lasts)
return id
