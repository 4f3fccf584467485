-- Goes in front of every script: what it tells others is noted while it works, and sent when it ends. Expects P.
--
-- A PUBLISH that nobody hears costs as much as a write, and on a cluster a message to every node. So all channels of
-- a script are asked about together, and only what has a listener is published. Listeners of ours are at the node that
-- runs the scripts. Clusters before 7.0 have no channels that stay at one node: there everything is published.

local CHANNELS = 1000             -- asked about at a time; Lua cannot pass on many more
local channels, texts = {}, {}    -- of each event: its channel, and the lines of its text

local function publish(channel, ...)
  local count = #channels + 1
  channels[count], texts[count] = channel, {...}
end

local function send_events()
  local count = #channels
  if count == 0 then return end
  local is_on_cluster = string.sub(P, 1, 1) == '{'
  local has_shards = is_on_cluster and redis.REDIS_VERSION_NUM   -- unknown before 7.0
  local is_for_all = is_on_cluster and not has_shards or redis.call('PUBSUB', 'NUMPAT') > 0
  for first = 1, count, CHANNELS do
    local last = math.min(first + CHANNELS - 1, count)
    -- Replies are name, number, name, number, in the order in which they were asked for.
    local plain = not is_for_all and redis.call('PUBSUB', 'NUMSUB', unpack(channels, first, last))
    local sharded = has_shards and redis.call('PUBSUB', 'SHARDNUMSUB', unpack(channels, first, last))
    for at = first, last do
      local number = 2 * (at - first + 1)
      if is_for_all or plain[number] > 0 then redis.call('PUBLISH', channels[at], table.concat(texts[at], '\n')) end
      if sharded and sharded[number] > 0 then redis.call('SPUBLISH', channels[at], table.concat(texts[at], '\n')) end
    end
  end
end
