-- Tells the time as the scripts of this docket see it, in the words of TIME.

return redis.call('TIME')
