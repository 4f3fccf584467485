"""Schedules: declared ones become executions, each due time once."""
