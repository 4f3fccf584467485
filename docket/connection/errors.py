"""What the errors of redis-py mean to us, and the words in which they are told on."""

from __future__ import annotations

import enum
import re
import ssl
from collections.abc import Sequence
from typing import Any, Final

import redis.exceptions as foreign

from ..errors import DocketError, ServerRefused, ServerUnavailable


class Severity(enum.Enum):
    """Who or what an error waits for."""

    TRANSIENT = "transient"
    """Time: the server is away, moving, loading, full; the same call may succeed later."""
    PERMANENT = "permanent"
    """An operator: credentials, permissions, keys of another type."""
    SCRIPT_MISSING = "script missing"
    """Us: the server does not know the script (any more)."""
    GROUP_MISSING = "group missing"
    """Us: the consumer group is gone."""
    BUG = "bug"
    """A developer: nobody should ever see this."""


_TRANSIENT_TYPES: Final = (
    foreign.ConnectionError,
    foreign.TimeoutError,
    foreign.BusyLoadingError,
    foreign.ReadOnlyError,
    foreign.MasterDownError,
    foreign.ClusterDownError,
    foreign.MovedError,
    foreign.AskError,
    foreign.TryAgainError,
    foreign.OutOfMemoryError,
    foreign.ClusterError,
    OSError,
    TimeoutError,
)
_PERMANENT_TYPES: Final = (
    foreign.AuthenticationError,
    foreign.AuthorizationError,
    foreign.NoPermissionError,
)
_TRANSIENT_WORDS: Final = frozenset(
    {
        "LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "MOVED", "ASK", "TRYAGAIN", "UNBLOCKED",
        "OOM", "MISCONF", "BUSY", "NOREPLICAS", "UNKILLABLE",
    }
)  # fmt: skip
_CODE: Final = re.compile(r"\b[A-Z]{2,}\b")
_PERMANENT_WORDS: Final = frozenset({"NOAUTH", "WRONGPASS", "NOPERM", "WRONGTYPE", "DENIED"})

_SPLIT_SLOT: Final = "non local key in a cluster node"
"""A script met a key that has already moved with its slot."""

_UNREAD_TYPES: Final = (
    foreign.ReadOnlyError,
    foreign.MovedError,
    foreign.AskError,
    foreign.TryAgainError,
    foreign.ClusterDownError,
    foreign.MasterDownError,
)


def severity(error: BaseException) -> Severity:
    """Whom an error waits for, be it raised or answered as a value."""
    words = _words(error)
    if isinstance(error, foreign.NoScriptError) or "NOSCRIPT" in words:
        return Severity.SCRIPT_MISSING
    if "NOGROUP" in words:
        return Severity.GROUP_MISSING
    # redis-py derives AuthenticationError from ConnectionError: the permanent ones come first.
    if isinstance(error, _PERMANENT_TYPES) or words & _PERMANENT_WORDS or _is_locked_out(error):
        return Severity.PERMANENT
    if isinstance(error, _TRANSIENT_TYPES) or words & _TRANSIENT_WORDS:
        return Severity.TRANSIENT
    if _SPLIT_SLOT in str(error):
        return Severity.TRANSIENT
    return Severity.BUG


def refused_unread(replies: Sequence[Any]) -> list[int]:
    """Which of the replies say that the command was not run, because it belongs elsewhere or came too early.

    A script is among them when its first write was refused: it has changed nothing.
    """
    return [
        index
        for index, reply in enumerate(replies)
        if isinstance(reply, foreign.ResponseError)
        and (isinstance(reply, _UNREAD_TYPES) or "READONLY" in _words(reply))
    ]


def translate(error: BaseException, where: str = "") -> DocketError:
    """The error in our words.

    Arguments:
        error: what redis-py raised, or what the server answered.
        where: the server, without secrets.
    """
    if isinstance(error, DocketError):
        return error
    place = f" at {where}" if where else ""
    found = severity(error)
    if found is Severity.TRANSIENT:
        return ServerUnavailable(f"the server{place} does not answer as it should: {error}")
    if found in {Severity.SCRIPT_MISSING, Severity.GROUP_MISSING}:
        return ServerUnavailable(f"the server{place} has lost what it was told before: {error}")
    if found is Severity.PERMANENT:
        return ServerRefused(
            f"the server{place} refuses: {error}; check user, password and permissions, and that the "
            "keys of this docket are its own"
        )
    return ServerRefused(f"the server{place} did not understand: {error}")


def unreachable(where: str, error: BaseException) -> DocketError:
    """Nothing answers: the three remedies."""
    if severity(error) is Severity.PERMANENT:
        return translate(error, where)
    return ServerUnavailable(
        f"nothing answers at {where}: {str(error).rstrip('.')}; start a Redis or Valkey server there, "
        "or set DOCKET_URL to one that runs, or install docket-platform[local] and use a docket.toml "
        "without a url, which brings a server of its own"
    )


def _words(error: BaseException) -> set[str]:
    """The codes in an error of the server: the first word, or after a dash where a script met it."""
    return set(_CODE.findall(str(error)))


def _is_locked_out(error: BaseException) -> bool:
    """Whether a certificate, or the rights of a socket's file, forbid to connect.

    redis-py raises the same as for a server that is down, and keeps the cause.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError | PermissionError):
            return True
        cause = cause.__cause__ or cause.__context__
    return False
