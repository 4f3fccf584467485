-- A supervisor leaves: it leads no longer, so that another one can at once.
--
-- owner, who   the supervisor

redis.call('HDEL', P .. ':supervisors', who)
if redis.call('GET', P .. ':leader:' .. owner) == who then redis.call('DEL', P .. ':leader:' .. owner) end
return 1
