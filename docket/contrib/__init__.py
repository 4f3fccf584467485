"""Kits for web frameworks: each is a module and an extra of the same name."""
