"""The layers of a configuration: files, a profile, the environment, the command line; the later one wins."""
