-- A page of a sorted set, from behind a member and its score on: whatever comes or goes before that, or is moved, shifts
-- nothing, as it would if pages were counted by rank.
--
-- index     the sorted set
-- score, member   the last one of the page before; no score: the first page
-- count     members of a page
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

local function first()
  if score == '' then return 0 end
  local known = redis.call('ZSCORE', set, member)
  if known and tonumber(known) == tonumber(score) then return redis.call('ZRANK', set, member) + 1 end
  -- It is gone, or has moved: its place among those of its score is found by halving.
  local low = redis.call('ZCOUNT', set, '-inf', '(' .. score)
  local high = low + redis.call('ZCOUNT', set, score, score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if is_behind(redis.call('ZRANGE', set, middle, middle)[1], member) then high = middle else low = middle + 1 end
  end
  return low
end

local from = first()
return redis.call('ZRANGE', set, from, from + count - 1, 'WITHSCORES')
