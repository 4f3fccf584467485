"""What Redis holds: the only code that issues commands."""
