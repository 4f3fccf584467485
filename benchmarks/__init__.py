"""What we cost, side by side with the peers, in one run."""
