--! include pausing
-- How long the oldest work of queues has been due that no worker has taken. It only reads.
--
-- REST...   queues ('' is the default queue)
-- returns   for each of them two numbers: ms (-1: no work waits there), and 1 if the queue is paused

local GROUP = 'docket-workers'
local LOOKED_AT = 100   -- executions that have fallen due, and that no worker has put on a stream yet

-- What is stored under a key may be something else: then nothing is known of it.
local function ask(reply)
  if type(reply) == 'table' and reply.err then return nil end
  return reply
end

local function milliseconds(time)
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local now = milliseconds(redis.call('TIME'))
local true_now = milliseconds(server.call('TIME'))   -- messages are numbered by it, also where tests move the time

local function is_paused(queue)
  local pauses = ask(redis.pcall('HMGET', P .. ':paused-queues', pauses_of(queue))) or {}
  for _, text in ipairs(pauses) do
    local ends = text and end_of_pause(text)
    if text and not (ends and ends <= now) then return true end
  end
  return false
end

-- Where the messages begin that were given to nobody.
local function first_free(stream)
  for _, group in ipairs(ask(redis.pcall('XINFO', 'GROUPS', stream)) or {}) do
    local its = {}
    for at = 1, #group, 2 do its[group[at]] = group[at + 1] end
    if its.name == GROUP then return '(' .. its['last-delivered-id'] end
  end
  return '-'
end

local function wait_on_stream(queue)
  local stream = P .. ':stream' .. (queue ~= '' and ':' .. queue or '')
  local message = (ask(redis.pcall('XRANGE', stream, first_free(stream), '+', 'COUNT', 1)) or {})[1]
  return message and true_now - tonumber(string.match(message[1], '^%d+')) or -1
end

local overdue = {}
local due = ask(redis.pcall('ZRANGEBYSCORE', P .. ':queue', '-inf', string.format('%.0f', now), 'WITHSCORES', 'LIMIT', 0, LOOKED_AT)) or {}
for at = 1, #due, 2 do
  local queue = ask(redis.pcall('HGET', P .. ':runs:' .. due[at], 'queue')) or ''
  overdue[queue] = math.max(overdue[queue] or -1, now - tonumber(due[at + 1]))
end

local found = {}
for at = REST, #ARGV do
  local queue = ARGV[at]
  found[#found + 1] = math.max(wait_on_stream(queue), overdue[queue] or -1)
  found[#found + 1] = is_paused(queue) and 1 or 0
end
return found
