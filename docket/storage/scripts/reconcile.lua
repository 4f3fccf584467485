--! include runs
--! include cancelling
--! include reconciling
-- Makes the schedules of one owner equal to what it declares.
--
-- owner     whose schedules these are
-- REST...   per schedule: name, timing, definition, next time (ms; 0 if it is not due any more), former name
-- returns   per schedule: its next time in force

return reconcile(owner, REST, #ARGV)
