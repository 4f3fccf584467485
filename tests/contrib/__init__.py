"""The kits, against the real frameworks."""
