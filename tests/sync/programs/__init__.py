"""Programs that do not await; each prints what it found."""
