--! include naming
--! include full
-- What an operator wants of a schedule; no file takes it back.
--
-- id        owner/name
-- verb      pause, resume or skip (its next due time passes without a run)
-- pause     who, why, since and until when, as JSON
-- returns   {DONE, UNKNOWN (there is no such schedule) or IDLE (there is nothing to skip or to resume), next time}

if redis.call('HEXISTS', P .. ':schedules', 'definition:' .. id) == 0 then return {'UNKNOWN', '0'} end
local state = P .. ':schedule:' .. inner_name(id)
local next_time = redis.call('HGET', P .. ':schedules', 'next:' .. id) or '0'
if verb == 'pause' then
  redis.call('HSET', state, 'pause', pause)
  redis.call('SADD', P .. ':paused', inner_name(id))
elseif verb == 'resume' then
  redis.call('HDEL', state, 'failures')
  if redis.call('HDEL', state, 'pause', 'stopped') == 0 then return {'IDLE', next_time} end
elseif next_time == '0' then
  return {'IDLE', next_time}
else
  redis.call('HSET', state, 'skip', next_time)
end
return {'DONE', next_time}
