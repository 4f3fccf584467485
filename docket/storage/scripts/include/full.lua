-- A server that is full refuses the first write of a script if that takes memory, and no later one. What work in flight
-- needs to go on, and what ends work, begins with a write that takes none. Expects P.

redis.call('DEL', P .. ':none')
