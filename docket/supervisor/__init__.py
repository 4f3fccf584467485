"""The supervisor keeps workers and schedules in the shape that the configuration declares."""
