"""How Redis is reached: one file per environment."""
