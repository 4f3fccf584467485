-- Goes in front of every script: refuses it while the slot of the docket moves to another node. Expects P.
--
-- Halfway, the node has some keys and not others: a script would do half of its work and stop. Two names that never
-- exist tell that before the first write, at the node that gives and at the one that takes. A prefix that pins its keys
-- to one slot stands for a cluster: elsewhere nothing moves.

if string.sub(P, 1, 1) == '{' then
  local probe = redis.pcall('EXISTS', P .. ':none', P .. ':none2')
  if type(probe) == 'table' then
    if not string.find(probe.err, 'non local key', 1, true) then return probe end
    return redis.error_reply('TRYAGAIN the slot of this docket is moving to another node')
  end
end
