--! include runs
--! include full
--! include cancelling
-- Cancels an execution for good, or asks its worker to.
--
-- key       the execution
-- ttl       ms for which the cancelled execution is remembered
-- returns   CANCELLED, REQUESTED (it runs: its worker is told now, and again when it renews its lease),
--           FINISHED (nothing left to cancel) or UNKNOWN

return cancel(key, ttl)
