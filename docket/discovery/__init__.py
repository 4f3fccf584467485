"""Finds the docket that a program means: from arguments, the environment and the docket.toml at hand.

It owns the one way of reading files and variables, which programs that add work share with supervisors, and
needs no pydantic for it. Checking what was read is the job of ``config``.
"""
