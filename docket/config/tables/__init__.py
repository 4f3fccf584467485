"""The tables of a docket.toml, one file each: keys with their kind, their default and their meaning."""
