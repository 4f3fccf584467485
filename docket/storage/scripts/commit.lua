--! include runs
--! include cancelling
--! include reconciling
--! include striking
-- Puts a configuration in force: its record, its schedules and its strikes together, or none of them.
--
-- owner     whose configuration it is
-- base      the revision that it follows; if another one is in force by now, nothing is done
-- token     made for this call: sent twice, it is done once
-- entry     the revision as its readers understand it
-- keep      how many revisions are kept
-- count     how many schedules there are
-- lifted    how many rules are taken back
-- REST...   the schedules (five words each, see reconciling), the identities of the rules that are taken back,
--           then per rule that is put in force: identity, action, end (ms), rule
-- returns   {COMMITTED or MOVED, revision in force, next time of each schedule...}

local record = P .. ':configuration:' .. owner
local known = redis.call('HMGET', record, 'revision', 'token')
local revision = tonumber(known[1] or '0')
if known[2] ~= token then
  if revision ~= tonumber(base) then return {'MOVED', revision} end
  revision = revision + 1
  local stamped = string.format('%.0f %.0f\n', revision, now) .. entry
  redis.call('HSET', record, 'revision', revision, 'token', token, 'entry', stamped)
  redis.call('LPUSH', P .. ':revisions:' .. owner, stamped)
  redis.call('LTRIM', P .. ':revisions:' .. owner, 0, keep - 1)
end

local at = REST + 5 * count
local times = reconcile(owner, REST, at - 1)
local is_changed = false
for index = at, at + lifted - 1 do
  is_changed = redis.call('HDEL', strikes, ARGV[index]) > 0 or is_changed
end
for index = at + lifted, #ARGV, 4 do
  impose(ARGV[index], ARGV[index + 1], ARGV[index + 2], ARGV[index + 3])
  is_changed = true
end
if is_changed then tell() end
return {'COMMITTED', revision, unpack(times)}
