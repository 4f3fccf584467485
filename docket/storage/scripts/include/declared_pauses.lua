-- Pauses of queues that files declare. Expects runs.lua, pausing.lua and waking.lua.
--
-- The field of such a queue in P:paused-queues holds, as JSON, the owners of the files that pause it: each with the time
-- (ms) since when, and the revision that began it.

local PAUSED = P .. ':paused-queues'

-- One that names no owner is written anew by whoever pauses the queue, and removed by the next owner that does not.
local function owners_of(field)
  local ok, told = pcall(cjson.decode, redis.call('HGET', PAUSED, field) or '{}')
  return ok and type(told) == 'table' and told or {}
end

local function take_back(field, owner)
  local owners = owners_of(field)
  if next(owners) and not owners[owner] then return end
  owners[owner] = nil
  if next(owners) then redis.call('HSET', PAUSED, field, cjson.encode(owners))
  else redis.call('HDEL', PAUSED, field)
  end
  attempt(wake, string.sub(field, 6))
end

local function keep_paused(field, owner, since, revision)
  local owners = owners_of(field)
  if owners[owner] then return end
  owners[owner] = {since = since, revision = revision}
  redis.call('HSET', PAUSED, field, cjson.encode(owners))
end

-- Has exactly the queues in ARGV from `first` to `last` be paused by the file of this owner.
local function declare_pauses(owner, since, revision, first, last)
  local wanted = {}
  for at = first, last do wanted['file\n' .. ARGV[at]] = true end
  for _, field in ipairs(redis.call('HKEYS', PAUSED)) do
    if string.sub(field, 1, 5) == 'file\n' and not wanted[field] then take_back(field, owner) end
  end
  for at = first, last do keep_paused('file\n' .. ARGV[at], owner, since, revision) end
end
