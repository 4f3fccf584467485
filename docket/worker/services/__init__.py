"""The services of a worker, one thing each: claims, leases, its heartbeat, parked work."""
