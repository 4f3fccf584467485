"""A configuration described: its schema for editors, its reference for people, its values as they count."""
