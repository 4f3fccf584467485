"""The way of a change: from a file that was saved to the revision that all hosts follow.

It owns the order of the steps and the way back. What a configuration means is the business of ``config``,
and the processes are those of ``processes``.
"""
