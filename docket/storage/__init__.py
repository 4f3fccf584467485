"""The data in Redis: the only code that issues commands."""
