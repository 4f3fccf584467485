-- Says of new executions where they go, and which shape their arguments have.
--
-- count     how many tasks have a queue of their own
-- REST...   task and queue of each of these, then task and shape of each task whose shape is not the first one
-- returns   1

local first_schema = REST + 2 * count
redis.call('DEL', P .. ':routes', P .. ':schemas')
for at = REST, first_schema - 1, 2 do redis.call('HSET', P .. ':routes', ARGV[at], ARGV[at + 1]) end
for at = first_schema, #ARGV, 2 do redis.call('HSET', P .. ':schemas', ARGV[at], ARGV[at + 1]) end
return 1
