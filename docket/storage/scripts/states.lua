-- What has happened to schedules. It only reads, and what cannot be read takes no other with it.
--
-- REST...   the names of the schedules inside
-- returns   per schedule: the names and values of its state, or why that cannot be read; what became of its last due time, or ''

local found = {}
for at = REST, #ARGV do
  local state = redis.pcall('HGETALL', P .. ':schedule:' .. ARGV[at])
  local outcomes = redis.pcall('LRANGE', P .. ':outcomes:' .. ARGV[at], 0, 0)
  found[#found + 1] = state.err or state
  found[#found + 1] = outcomes[1] or ''
end
return found
