"""The text of a configuration: files, their values, and the place where each of them stands.

It owns what is known before anything is checked.
"""
