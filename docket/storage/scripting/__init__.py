"""The way of a call to Redis: the text of its script, named arguments, one reply, and what is sent again."""
