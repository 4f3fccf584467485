--! include runs
--! include pausing
--! include waking
--! include declared_pauses
--! include striking
-- Puts a configuration in force: its record, its routes and shapes, its paused queues, and its strikes of whole tasks,
-- together or none of them. Its schedules and its other strikes are staged, and follow in slices (see follow.lua).
--
-- owner     whose configuration it is
-- base      the revision that it follows; if another one is in force by now, nothing is done
-- token     made for this call: sent twice, it is done once; under this name the rest is staged
-- entry     the revision as its readers understand it
-- keep      how many revisions are kept
-- staged    how much is staged
-- routes, schemas, paused, lifted   how many there are of each
-- REST...   per route: task, queue; per shape: task, number; the queues that are paused; the identities of the rules that
--           are taken back; then per rule that is put in force: identity, action, end (ms), rule
-- returns   {COMMITTED, MOVED (another one is in force) or UNSTAGED (what was staged is gone), revision in force}

local record = P .. ':configuration:' .. owner
local staging = P .. ':staging:' .. owner
local known = redis.call('HMGET', record, 'revision', 'token')
local revision = tonumber(known[1] or '0')
if known[2] == token then say_format()
return {'COMMITTED', revision} end
if revision ~= tonumber(base) then return {'MOVED', revision} end
local place = P .. ':staged:' .. owner .. ':' .. token
if redis.call('HGET', place, 'count') ~= staged then return {'UNSTAGED', revision} end

revision = revision + 1
local stamped = string.format('%.0f %.0f\n', revision, now) .. entry
redis.call('HSET', record, 'revision', revision, 'token', token, 'entry', stamped)
redis.call('LPUSH', P .. ':revisions:' .. owner, stamped)
redis.call('LTRIM', P .. ':revisions:' .. owner, 0, keep - 1)

-- What the one before has staged and not brought over is all declared anew by this one.
local left = redis.call('HGET', staging, 'token')
if left then redis.call('UNLINK', P .. ':staged:' .. owner .. ':' .. left) end
redis.call('PERSIST', place)
redis.call('HSET', staging, 'token', token, 'phase', 'rows', 'cursor', '0')

local at = REST
local function write_pairs(name, count)
  redis.call('DEL', name)
  for _ = 1, count do
    redis.call('HSET', name, ARGV[at], ARGV[at + 1])
    at = at + 2
  end
end
write_pairs(P .. ':routes', tonumber(routes))
write_pairs(P .. ':schemas', tonumber(schemas))
declare_pauses(owner, now, revision, at, at + paused - 1)
at = at + paused

local is_changed = false
for index = at, at + lifted - 1 do
  is_changed = redis.call('HDEL', strikes, ARGV[index]) > 0 or is_changed
end
for index = at + lifted, #ARGV, 4 do
  impose(ARGV[index], ARGV[index + 1], ARGV[index + 2], ARGV[index + 3])
  is_changed = true
end
if is_changed then tell(token) end
say_format()
return {'COMMITTED', revision}
