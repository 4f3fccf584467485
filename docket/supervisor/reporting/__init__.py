"""Reports of a supervisor on itself: health, metrics, status, and lines in the log.

It owns what is counted and shown. Nothing here changes anything; pings add calls that do nothing.
"""
