-- When a pause ends (ms); nil is never. One that cannot be read is in force until somebody resumes the schedule.
local function end_of_pause(text)
  local ok, told = pcall(cjson.decode, text)
  return ok and type(told) == 'table' and tonumber(told['until']) or nil
end
