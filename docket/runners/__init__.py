"""Tasks that need no Python of their own: a command, or an HTTP call."""
