-- Writes down what is to follow a commit; nothing of it is in force. Sent twice it is the same.
--
-- owner, token   whose it is, and under which name it is staged
-- kept           seconds for which it stays, if it is never committed
-- REST...        field, value, field, value, ...
-- returns        1

local staged = P .. ':staged:' .. owner .. ':' .. token
for at = REST, #ARGV, 2 do redis.call('HSET', staged, ARGV[at], ARGV[at + 1]) end
redis.call('EXPIRE', staged, kept)
return 1
