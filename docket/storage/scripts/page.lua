-- A page of a sorted set, from behind a member and its score on: whatever comes or goes before that, or is moved, shifts
-- nothing, as it would if pages were counted by rank.
--
-- index     the sorted set
-- score, member   the last one of the page before; no score: the first page
-- count     members of a page
-- backwards '1' if the highest score comes first, and each page is before the one that was read last
-- returns   member, score, member, score, ...

local set = P .. ':' .. index

-- As Redis orders members of one score: by their bytes, in whatever language the server runs.
local function is_behind(one, other)
  for at = 1, math.min(#one, #other) do
    local ours, theirs = string.byte(one, at), string.byte(other, at)
    if ours ~= theirs then return ours > theirs end
  end
  return #one > #other
end

-- How many members the set has up to the last one that was read, whether that is still there or not.
local function read_so_far()
  local known = redis.call('ZSCORE', set, member)
  if known and tonumber(known) == tonumber(score) then return redis.call('ZRANK', set, member) + 1, 1 end
  -- It is gone, or has moved: its place among those of its score is found by halving.
  local low = redis.call('ZCOUNT', set, '-inf', '(' .. score)
  local high = low + redis.call('ZCOUNT', set, score, score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if is_behind(redis.call('ZRANGE', set, middle, middle)[1], member) then high = middle else low = middle + 1 end
  end
  return low, 0
end

local below, is_there = 0, 0
if score ~= '' then below, is_there = read_so_far() end
if backwards ~= '1' then return redis.call('ZRANGE', set, below, below + count - 1, 'WITHSCORES') end
local from = score == '' and 0 or redis.call('ZCARD', set) - below + is_there
return redis.call('ZREVRANGE', set, from, from + count - 1, 'WITHSCORES')
