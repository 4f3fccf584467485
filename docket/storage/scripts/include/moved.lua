-- Goes in front of a script where the server's time can be moved: TIME then tells the moved time, and
-- everything else is the server's own. `server` is the server as it is. Expects P and server.
--
-- P:clock   '@<ms>': time stands still there · '<ms>': it is so far ahead · nothing: it was not moved

local moved = server.call('GET', P .. ':clock')
local redis = redis
if moved then
  redis = setmetatable({}, {__index = server})
  function redis.call(command, ...)
    if command ~= 'TIME' then return server.call(command, ...) end
    local time = server.call('TIME')
    local stands = string.match(moved, '^@(%d+)$')
    if stands then time = {math.floor(stands / 1000), stands % 1000 * 1000}
    else
      local now = time[1] * 1000 + math.floor(time[2] / 1000) + moved
      time = {math.floor(now / 1000), now % 1000 * 1000 + time[2] % 1000}
    end
    return {string.format('%.0f', time[1]), string.format('%.0f', time[2])}
  end
end
