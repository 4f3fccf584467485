"""What happens when things break: real servers, real worker processes, real signals."""
