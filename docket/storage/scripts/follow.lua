--! include runs
--! include cancelling
--! include naming
--! include reconciling
--! include striking
-- Has what a commit has staged follow it: one slice. Whoever leads goes on from where the last slice ended; each slice
-- is one script, and does nothing twice that would differ.
--
-- owner     whose schedules and strikes
-- returns   {1 if there is more to do, how many strikes were taken back}

local SLICE = 50
local REMEMBERED = 15 * 60 * 1000   -- ms for which the runs are remembered that are cancelled with their schedule
local REMOVING = P .. ':removing'
local STAGING = P .. ':staging:' .. owner
local lifted, is_changed = 0, false

local function apply(token, field, value)
  local kind, name = string.match(field, '^(%a+):(.*)$')
  if kind == 'row' then
    bring(owner, name, token)
  elseif kind == 'lift' then
    lifted = lifted + redis.call('HDEL', strikes, name)
    is_changed = true
  elseif kind == 'strike' then
    local action, ends, at = string.match(value, '^(%a+) (%d+)\n()')
    impose(name, action, ends, string.sub(value, at))
    is_changed = true
  end
end

-- The staged rows, then the schedules that are declared no longer.
local function advance(token, phase, cursor)
  local staged = P .. ':staged:' .. owner .. ':' .. token
  if phase == 'rows' then
    local scan = redis.call('HSCAN', staged, cursor, 'COUNT', SLICE)
    for at = 1, #scan[2], 2 do apply(token, scan[2][at], scan[2][at + 1]) end
    if scan[1] == '0' then phase = 'rest' end
    redis.call('HSET', STAGING, 'phase', phase, 'cursor', scan[1])
    return
  end
  local scan = redis.call('HSCAN', SCHEDULES, cursor, 'MATCH', 'of:*', 'COUNT', 4 * SLICE)
  for at = 1, #scan[2], 2 do
    local id = string.sub(scan[2][at], 4)
    if string.sub(id, 1, #owner + 1) == owner .. '/' and scan[2][at + 1] ~= token then remove(id) end
  end
  redis.call('HSET', STAGING, 'cursor', scan[1])
  if scan[1] == '0' then redis.call('UNLINK', STAGING, staged) end
end

local function cancel_one(inner, key)
  local known = redis.call('HMGET', run_of(key), 'state', 'schedule')
  if known[2] == inner and (known[1] == 'scheduled' or known[1] == 'queued') then cancel(key, REMEMBERED) end
end

-- The runs of a removed schedule that were pending when it went, `most` at most; tells how many that were.
local function cancel_pending(inner, moment, most)
  local pending = P .. ':pending:' .. inner
  local keys = redis.call('ZRANGEBYSCORE', pending, '-inf', moment, 'LIMIT', 0, most)
  for _, key in ipairs(keys) do
    redis.call('ZREM', pending, key)
    attempt(cancel_one, inner, key)
  end
  if #keys < most then
    redis.call('HDEL', REMOVING, inner)
    turns.turn_free(inner)
  end
  return #keys
end

-- Whichever comes first: a scan that begins anew each time may find nothing in a large hash, for ever.
local function cancel_some()
  local left = SLICE
  while left > 0 do
    local removing = redis.call('HRANDFIELD', REMOVING, 1, 'WITHVALUES')
    if not removing[1] then return end
    left = left - 1 - cancel_pending(removing[1], removing[2], left)
  end
end

local known = redis.call('HMGET', STAGING, 'token', 'phase', 'cursor')
if known[1] then advance(known[1], known[2], known[3]) else cancel_some() end
-- No two slices of no two commits are alike.
if is_changed then tell(known[1] .. ' ' .. known[2] .. ' ' .. known[3]) end
return {redis.call('EXISTS', STAGING, REMOVING) > 0 and 1 or 0, lifted}
