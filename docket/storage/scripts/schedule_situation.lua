-- All that tells when a schedule is due next, and why not now. It only reads.
--
-- name      owner/name, or the name alone where one owner only has one so called
-- returns   nothing if there is no such schedule; {'names', {owner/name, ...}} if there are several; else pairs: a name,
--           and a text or a list of texts

local SCHEDULES = P .. ':schedules'
local SHOWN = 10   -- due times that are shown

local found = {}

local function tell(what, value)
  if value then found[#found + 1] = what; found[#found + 1] = value end
end

-- What is stored under a key may be something else: then nothing is known of it.
local function ask(reply)
  if type(reply) == 'table' and reply.err then return nil end
  return reply
end

local supervisors = ask(redis.pcall('HGETALL', P .. ':supervisors')) or {}

-- What has no file any more is remembered by the owners that others are of.
local function matches()
  if redis.call('HEXISTS', SCHEDULES, 'definition:' .. name) == 1 or string.find(name, '/', 1, true) then return {name} end
  local owners, ids = {}, {}
  for _, field in ipairs(redis.call('HKEYS', SCHEDULES)) do
    local owner, own = string.match(field, '^definition:([^/]*)/(.*)$')
    if owner then owners[owner] = true end
    if own == name then ids[#ids + 1] = owner .. '/' .. name end
  end
  if #ids > 0 then return ids end
  for at = 2, #supervisors, 2 do
    local ok, about = pcall(cjson.decode, string.match(supervisors[at], '\n(.*)$') or '')
    if ok and type(about) == 'table' and type(about.owner) == 'string' then owners[about.owner] = true end
  end
  for owner in pairs(owners) do ids[#ids + 1] = owner .. '/' .. name end
  return ids
end

local function inner_of(id)
  return redis.call('HGET', SCHEDULES, 'alias:' .. id) or id
end

local function is_there(id)
  return redis.call('HEXISTS', SCHEDULES, 'definition:' .. id) == 1 or redis.call('EXISTS', P .. ':schedule:' .. inner_of(id)) == 1
end

local ids = {}
for _, id in ipairs(matches()) do
  if is_there(id) then ids[#ids + 1] = id end
end
if #ids == 0 then return {} end
if #ids > 1 then return {'names', ids} end

local id = ids[1]
local owner, inner = string.match(id, '^([^/]*)/'), inner_of(id)
local time = redis.call('TIME')
tell('id', id)
tell('now', string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)))
for _, field in ipairs({'definition', 'next', 'seal'}) do tell(field, redis.call('HGET', SCHEDULES, field .. ':' .. id)) end
local state = ask(redis.pcall('HGETALL', P .. ':schedule:' .. inner))
tell('state', state)
tell('left', ask(redis.pcall('PTTL', P .. ':schedule:' .. inner)))
tell('outcomes', ask(redis.pcall('LRANGE', P .. ':outcomes:' .. inner, 0, SHOWN - 1)))
tell('waiting', ask(redis.pcall('ZCARD', P .. ':waiters:schedule ' .. inner)))
tell('leader', owner and ask(redis.pcall('GET', P .. ':leader:' .. owner)))
tell('supervisors', supervisors)
tell('following', owner and ask(redis.pcall('EXISTS', P .. ':staging:' .. owner)))

-- The run that has the turn, or was the last one.
for at = 1, state and #state or 0, 2 do
  if state[at] == 'key' then
    tell('run', state[at + 1])
    local known = ask(redis.pcall('HMGET', P .. ':runs:' .. state[at + 1], 'state', 'schedule')) or {}
    if known[2] == inner then tell('run_state', known[1]) end
  end
end
local ok, told = pcall(cjson.decode, redis.call('HGET', SCHEDULES, 'definition:' .. id) or '')
if ok and type(told) == 'table' and type(told.task) == 'string' then
  tell('task', told.task)
  tell('rule', ask(redis.pcall('HGET', P .. ':strikes', 'task:' .. told.task)))
end
return found
