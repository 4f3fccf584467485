"""The vocabulary that everything else is written in: names, times, sizes, states, policies.

It owns plain values and what turns them into text and back. It knows nothing of Redis, of tasks or of
configurations, and imports nothing of the package but errors.
"""
