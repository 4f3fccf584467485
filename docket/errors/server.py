"""Errors that a server causes: errors of ours that are errors of redis-py as well.

Programs that were written for a Redis client catch ``redis.exceptions.RedisError`` around what they ask of a
docket, and mean an absent server.
"""

from __future__ import annotations

import redis.exceptions as foreign

from . import OperatorError

_HOME = __name__.rpartition(".")[0]


class ServerUnavailable(OperatorError, ConnectionError, foreign.ConnectionError):
    """The server cannot be reached, or cannot work right now; the call may be repeated."""

    __module__ = _HOME
    __repr__ = BaseException.__repr__

    def __init__(self, *args: object) -> None:
        ConnectionError.__init__(self, *args)
        # What redis-py's errors say of themselves beside their words; Python's own ends the chain before it.
        vars(self).update(vars(foreign.ConnectionError(*args)))


class ServerFull(ServerUnavailable):
    """The server answers, but refuses to write because its memory is full; the call may be repeated."""

    __module__ = _HOME


class ServerRefused(OperatorError, foreign.RedisError):
    """The server refuses for good: credentials, permissions, or keys of an unexpected type."""

    __module__ = _HOME
    __repr__ = BaseException.__repr__


class LoginRefused(ServerRefused):
    """The server does not let this user in; once it did, that may be over soon."""

    __module__ = _HOME
