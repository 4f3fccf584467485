-- Has what is staged follow, as a commit does, but without a revision.
--
-- owner, token   whose schedules, and under which name they are staged
-- returns        1; 0 if nothing is staged under that name (any more)

local staged = P .. ':staged:' .. owner .. ':' .. token
if redis.call('PERSIST', staged) == 0 and redis.call('EXISTS', staged) == 0 then return 0 end
say_format()
redis.call('HSET', P .. ':staging:' .. owner, 'token', token, 'phase', 'rows', 'cursor', '0')
return 1
