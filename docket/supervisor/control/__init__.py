"""The control socket, over which the command line talks with a supervisor.

It owns both of its ends and the requests between them. What a request does is done elsewhere.
"""
