--! include full
-- The heartbeat of a worker at a server that is full, where a ZADD alone is refused.
--
-- worker    its name
-- now       the server's time in ms
-- returns   1 if it was not known any more

return redis.call('ZADD', P .. ':workers', now, worker)
