-- Adds what has ended in a worker to the series: each batch once, however often it is sent.
--
-- consumer   the worker's life
-- number     of the batch; it rises from one to the next
-- REST...    per cell: its minute (since 1970), task, letter of the ending, how many, their seconds in all, and how many
--            took how long: 'bound:how many' with commas between
-- returns    1, or 0 if the batch was added before
--
-- A cell of a series is a text: for each ending its letter, how many, their seconds, and how long they took. One that grows
-- too long tells lengths of time by fewer bounds, then those of completed runs only.

local RESOLUTIONS = {{'1m', 1, 180}, {'10m', 10, 144}, {'1h', 60, 168}}   -- name, minutes of a cell, how many cells are kept
local TASKS = 500            -- that have series of their own
local OTHER = 'other'        -- the task that all others are counted under
local ENDINGS = 'cfrxsed'    -- the letters
local LAST = 17              -- the bound of what is longer than any bound
local LONGEST = 100          -- bytes of a cell
local REMEMBERED = 3600000   -- ms for which the number of a batch is known

local week = 7 * 24 * 60
local names, seen = P .. ':series:tasks', P .. ':series:seen:' .. consumer
local this_minute = math.floor(redis.call('TIME')[1] / 60)

-- First, and in the same script: a batch is rather lost than counted twice.
if tonumber(redis.call('GET', seen) or '-1') >= tonumber(number) then return 0 end
redis.call('SET', seen, number, 'PX', REMEMBERED)

local function read(text)
  local cell = {}
  for letter, count, seconds, lengths in string.gmatch(text, '(%a)(%d+) (%S+) ([%d:,]*);') do
    local its = {count = tonumber(count), seconds = tonumber(seconds) or 0, lengths = {}}
    for bound, many in string.gmatch(lengths, '(%d+):(%d+)') do its.lengths[tonumber(bound)] = tonumber(many) end
    cell[letter] = its
  end
  return cell
end

local function write(cell)
  local parts = {}
  for letter in string.gmatch(ENDINGS, '.') do
    local its, lengths = cell[letter], {}
    for bound = 0, its and LAST or -1 do
      if its.lengths[bound] then lengths[#lengths + 1] = string.format('%d:%.0f', bound, its.lengths[bound]) end
    end
    if its then parts[#parts + 1] = string.format('%s%.0f %.6g %s;', letter, its.count, its.seconds, table.concat(lengths, ',')) end
  end
  return table.concat(parts)
end

-- What is counted under a bound is counted under the last one of its group.
local function coarsen(cell, group)
  for letter, its in pairs(cell) do
    local merged = {}
    for bound, many in pairs(its.lengths) do
      local into = bound < LAST and math.min(bound - bound % group + group - 1, LAST - 1) or LAST
      if group <= 8 or letter == 'c' then merged[into] = (merged[into] or 0) + many end
    end
    its.lengths = merged
  end
end

local function within_bytes(cell)
  local text, group = write(cell), 2
  while #text > LONGEST and group <= 16 do
    coarsen(cell, group)
    text, group = write(cell), group * 2
  end
  return text
end

local function forget(place, oldest)
  for _, index in ipairs(redis.call('HKEYS', place)) do
    if (tonumber(index) or 0) < oldest then redis.call('HDEL', place, index) end
  end
end

local function add(resolution, task, minute, letter, count, seconds, lengths)
  local name, minutes, kept = unpack(resolution)
  local index, oldest = math.floor(minute / minutes), math.floor(this_minute / minutes) - kept + 1
  if index < oldest then return end
  local place = P .. ':series:' .. name .. ':' .. task
  local cell = read(redis.call('HGET', place, index) or '')
  local its = cell[letter] or {count = 0, seconds = 0, lengths = {}}
  its.count, its.seconds, cell[letter] = its.count + count, its.seconds + seconds, its
  for bound, many in string.gmatch(lengths, '(%d+):(%d+)') do
    bound = tonumber(bound)
    its.lengths[bound] = (its.lengths[bound] or 0) + many
  end
  if redis.call('HSET', place, index, within_bytes(cell)) == 1 then forget(place, oldest) end
  redis.call('PEXPIRE', place, string.format('%.0f', kept * minutes * 60000))
end

local function own_name(task)
  if redis.call('ZSCORE', names, task) then return task end
  if redis.call('ZCARD', names) >= TASKS then redis.call('ZREMRANGEBYSCORE', names, '-inf', this_minute - week) end
  return redis.call('ZCARD', names) < TASKS and task or OTHER
end

for at = REST, #ARGV, 6 do
  local minute, task = math.min(tonumber(ARGV[at]), this_minute), own_name(ARGV[at + 1])
  if task ~= OTHER then redis.call('ZADD', names, this_minute, task) end
  for _, resolution in ipairs(RESOLUTIONS) do
    add(resolution, task, minute, ARGV[at + 2], tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4]), ARGV[at + 5])
  end
end
redis.call('PEXPIRE', names, string.format('%.0f', week * 60000))
return 1
