"""Programs that the tests of the kits run."""
