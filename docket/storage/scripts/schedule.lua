--! include runs
--! include strikes
--! include adding
-- Adds or replaces executions. One call for one or many; work is bounded by the caller's chunk.
--
-- mode      'add': a live execution of the same key is left alone; 'replace': it is overwritten.
-- REST...   per execution: key, nonce, due (ms; 0 = now), task, call, queue, attempt, trace, rule
--           that parks it ('' if its caller has found none), when (the due time in us, if it is not a
--           whole ms; ''), options of the call (JSON; ''), late ('1' if it was first sent so long ago that its record
--           may be gone)
--           queue: '' is that of its task, 'default' the one without a name, '/high' that of its task at a priority
-- returns   per execution: {word, state, generation}; word is SCHEDULED, ALREADY_SCHEDULED, ALREADY_DONE, STRUCK
--           (with the state 'parked' if it was kept), UNKNOWN (nothing tells whether it was accepted when it was
--           first sent; it is not now) or FAILED (state is then the server's message)

local FIELDS = 12

local function add_from(at)
  return add(mode, ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2]), ARGV[at + 3], ARGV[at + 4],
    ARGV[at + 5], ARGV[at + 6], ARGV[at + 7], ARGV[at + 8], ARGV[at + 9], ARGV[at + 11], nil, ARGV[at + 10])
end

local replies = {}
for at = REST, #ARGV, FIELDS do
  local reply, trouble = attempt(add_from, at)
  replies[#replies + 1] = reply or {'FAILED', trouble, 0}
end
ring_bells()
return replies
