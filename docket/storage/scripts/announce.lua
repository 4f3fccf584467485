--! include runs
--! include full
-- Announces the limits of the tasks that a worker knows, and tells which sizes are in force.
--
-- worker    its name
-- REST...   per limit and task: definition, task, size (0: the worker knows it no more)
-- returns   per definition: definition, size in force, and as JSON the sizes of its tasks
--
-- For one task the size that was announced last counts, as long as a worker lives that has it: an old release that
-- starts again announces nothing new. Tasks that share a limit should agree; if they do not, the smallest counts.
--
-- P:limits   'size <definition>': in force · 'by <definition>': per task and worker, its size and since when it has
--            been announced, as JSON

local limits = P .. ':limits'
local now = milliseconds()

local function is_living(name)
  return name == worker or redis.call('ZSCORE', P .. ':workers', name)
end

-- What is stored may be none of ours: then nobody has announced anything.
local function read(text)
  local ok, tasks = pcall(cjson.decode, text)
  return ok and type(tasks) == 'table' and tasks or {}
end

local function is_size(known)
  return type(known) == 'table' and type(known[1]) == 'number' and type(known[2]) == 'number'
end

local function announced(definition)
  local text = redis.call('HGET', limits, 'by ' .. definition)
  local tasks = text and read(text) or {}
  for task, workers in pairs(tasks) do
    if type(workers) ~= 'table' then workers = {} end
    for name, known in pairs(workers) do
      if not is_size(known) or not is_living(name) then workers[name] = nil end
    end
    if next(workers) == nil then tasks[task] = nil end
  end
  return tasks
end

local function announce(tasks, task, size)
  local workers = tasks[task] or {}
  workers[worker] = nil
  if size ~= '0' then
    local since = now
    for _, other in pairs(workers) do
      if other[1] == tonumber(size) then since = math.min(since, other[2]) end
    end
    workers[worker] = {tonumber(size), since}
  end
  tasks[task] = next(workers) ~= nil and workers or nil
end

local function newest(workers)
  local size, since
  for _, known in pairs(workers) do
    if not since or known[2] > since or (known[2] == since and known[1] < size) then size, since = known[1], known[2] end
  end
  return size
end

local function decide(definition, tasks)
  local sizes, size = {}, nil
  for task, workers in pairs(tasks) do
    sizes[task] = newest(workers)
    size = math.min(size or sizes[task], sizes[task])
  end
  if not size then
    redis.call('HDEL', limits, 'size ' .. definition, 'by ' .. definition)
    return {definition, '0', '{}'}
  end
  redis.call('HSET', limits, 'size ' .. definition, size, 'by ' .. definition, cjson.encode(tasks))
  return {definition, integer(size), cjson.encode(sizes)}
end

local definitions, replies = {}, {}
for at = REST, #ARGV, 3 do
  local definition = ARGV[at]
  definitions[definition] = definitions[definition] or announced(definition)
  announce(definitions[definition], ARGV[at + 1], ARGV[at + 2])
end
for definition, tasks in pairs(definitions) do replies[#replies + 1] = decide(definition, tasks) end
return replies
