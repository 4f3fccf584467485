-- The format of what a docket keeps: a number, raised by each change after which an older release would misread it.
-- Written wherever a docket first gets something, and again by workers and supervisors: the data may have been lost.
-- Goes in front of every script. Expects P.

local FORMAT = '2'   -- '1' wrote no number

local function say_format()   --! rare
  redis.call('SET', P .. ':format', FORMAT)
end
