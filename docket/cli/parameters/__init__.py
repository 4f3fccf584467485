"""Parameters of commands: options that several of them share, and values as people type them."""
