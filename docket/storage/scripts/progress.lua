--! include runs
--! include full
-- Records how far an execution has come, and tells its subscribers.
--
-- key       the execution
-- verb      total, increment or message
-- value     the new total, the amount, or the message ('' clears it)
-- now       ISO time of the change
-- returns   {current, total, message, updated_at}

local DAY = 86400000
local progress = P .. ':progress:' .. key
if verb == 'increment' then redis.call('HINCRBY', progress, 'current', value)
elseif value == '' then redis.call('HDEL', progress, verb)
else redis.call('HSET', progress, verb, value)
end
redis.call('HSET', progress, 'updated_at', now)
local known = redis.call('HMGET', progress, 'current', 'total', 'message')
local reply = {known[1] or '', known[2] or '', known[3] or '', now}
-- Progress of something that has already ended goes when the record of it goes; of something that has no
-- record (any more), after a day. A record that lives on says that there is progress to take along.
local ttl = redis.call('PTTL', run_of(key))
if ttl ~= -1 then redis.call('PEXPIRE', progress, ttl > 0 and ttl or DAY)
else redis.call('HSET', run_of(key), 'progress', '1')
end
publish(progress, reply[1], reply[2], now, reply[3])
return reply
