"""The configuration as commands show it: its problems, its revisions, and the plan of a change."""
