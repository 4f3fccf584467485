--! include runs
-- Lets the first start within a window through.
--
-- verb      take, or undo (the start did not take place after all)
-- name      whose window
-- owner     who asks; asking again is answered as before
-- window    ms
-- returns   1 if the owner may start, 0 if somebody else has

local mark = P .. ':cooldown:' .. name
if verb == 'undo' then
  if redis.call('GET', mark) == owner then redis.call('DEL', mark) end
  return 1
end
if redis.call('SET', mark, owner, 'NX', 'PX', window) then return 1 end
return redis.call('GET', mark) == owner and 1 or 0
