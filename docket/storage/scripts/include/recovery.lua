-- A part of claim.lua: recovery after a reply that was lost.

-- What is pending under this worker's name and was never heard of, all queues before anything fresh.
local function recover(queue, known)
  local first = '-'
  while true do
    local page = leases.pending(queue, consumer, leases.SLICE, first)
    for _, entry in ipairs(page) do
      local message = entry[1]
      if not known[holder_of(queue, message)] then
        if #claimed >= slots or bytes >= INLINE then
          is_recovered = false
          return
        end
        local found = redis.call('XRANGE', stream_of(queue), message, message)[1]
        if found then take(queue, message, found[2], consumer) else take_off_stream(queue, message) end
      end
    end
    if #page < leases.SLICE then return end
    first = '(' .. page[#page][1]
  end
end

local known = {}
for at = first_held, #ARGV do known[ARGV[at]] = true end
for_each_queue(recover, known)
