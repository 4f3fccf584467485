-- Goes in front of every script: what it tells others is noted while it works, and sent when it ends. Expects P.
--
-- A PUBLISH that nobody hears costs as much as a write, and on a cluster a message to every node. So all channels of
-- a script are asked about together, and only what has a listener is published. Listeners of ours are at the node that
-- runs the scripts. Clusters before 7.0 have no channels that stay at one node: there everything is published.

local CHANNELS = 1000   -- asked about at a time; Lua cannot pass on many more
local events = {}       -- {channel, text}

local function publish(channel, text)
  events[#events + 1] = {channel, text}
end

-- How many listen to each channel.
local function listeners(word)
  local counts = {}
  for first = 1, #events, CHANNELS do
    local channels = {}
    for at = first, math.min(first + CHANNELS - 1, #events) do channels[#channels + 1] = events[at][1] end
    local reply = redis.call('PUBSUB', word, unpack(channels))
    for at = 1, #reply, 2 do counts[reply[at]] = reply[at + 1] end
  end
  return counts
end

local function send_events()
  if #events == 0 then return end
  local is_on_cluster = string.sub(P, 1, 1) == '{'
  local has_shards = is_on_cluster and redis.REDIS_VERSION_NUM   -- unknown before 7.0
  local is_for_all = is_on_cluster and not has_shards or redis.call('PUBSUB', 'NUMPAT') > 0
  local plain = is_for_all and {} or listeners('NUMSUB')
  local sharded = has_shards and listeners('SHARDNUMSUB') or {}
  for _, event in ipairs(events) do
    if is_for_all or plain[event[1]] > 0 then redis.call('PUBLISH', event[1], event[2]) end
    if has_shards and sharded[event[1]] > 0 then redis.call('SPUBLISH', event[1], event[2]) end
  end
end
