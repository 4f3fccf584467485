"""Connections to Redis: one file per environment."""
