"""Turns declared schedules into executions, each due time once."""
