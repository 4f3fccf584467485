"""The situation of one execution or schedule, read in one question, for ``insights`` to explain."""
