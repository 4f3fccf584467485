"""The machine that a supervisor runs on: its signals, systemd, and the first process of a container."""
