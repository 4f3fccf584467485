-- What became of the due times of a schedule. Expects P.

local OUTCOMES = 50      -- of each schedule, shown to people
local LEDGER = 5000      -- due times of each schedule that had a run, so that none is run twice

local function note_outcome(id, due, word, key)
  redis.call('LPUSH', P .. ':outcomes:' .. id, due .. '\n' .. word .. '\n' .. key)
  redis.call('LTRIM', P .. ':outcomes:' .. id, 0, OUTCOMES - 1)
end

local function remember_run(id, due)
  redis.call('ZADD', P .. ':ran:' .. id, due, due)
  redis.call('ZREMRANGEBYRANK', P .. ':ran:' .. id, 0, -LEDGER - 1)
end
