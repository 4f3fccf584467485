"""What the errors of redis-py mean to us, and the words in which they are told on."""

from __future__ import annotations

import enum
from typing import Final

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
_PERMANENT_WORDS: Final = frozenset({"NOAUTH", "WRONGPASS", "NOPERM", "WRONGTYPE", "DENIED"})

_MISDIRECTED_WORDS: Final = frozenset({"READONLY", "MOVED", "ASK", "CLUSTERDOWN", "MASTERDOWN"})
_MISDIRECTED_TYPES: Final = (
    foreign.ReadOnlyError,
    foreign.MovedError,
    foreign.AskError,
    foreign.ClusterDownError,
    foreign.MasterDownError,
)


def severity(error: BaseException) -> Severity:
    """Whom an error waits for, be it raised or answered as a value."""
    word = str(error).partition(" ")[0]
    if isinstance(error, foreign.NoScriptError) or word == "NOSCRIPT":
        return Severity.SCRIPT_MISSING
    if word == "NOGROUP":
        return Severity.GROUP_MISSING
    # redis-py derives AuthenticationError from ConnectionError: the permanent ones come first.
    if isinstance(error, _PERMANENT_TYPES) or word in _PERMANENT_WORDS:
        return Severity.PERMANENT
    # Errors inside a script carry the server's word somewhere in the text.
    if isinstance(error, _TRANSIENT_TYPES) or _TRANSIENT_WORDS & set(str(error).split()):
        return Severity.TRANSIENT
    if isinstance(error, foreign.ResponseError) and _PERMANENT_WORDS & set(str(error).split()):
        return Severity.PERMANENT
    return Severity.BUG


def is_misdirected(error: BaseException) -> bool:
    """Whether an answer says that another server is to be asked from now on."""
    return (
        isinstance(error, _MISDIRECTED_TYPES) or str(error).partition(" ")[0] in _MISDIRECTED_WORDS
    )


def translate(error: BaseException, where: str = "") -> DocketError:
    """The error in our words.

    Arguments:
        error: what redis-py raised, or what the server answered.
        where: the server, without secrets.
    """
    if isinstance(error, DocketError):
        return error
    place = f" at {where}" if where else ""
    match severity(error):
        case Severity.TRANSIENT:
            return ServerUnavailable(f"the server{place} does not answer as it should: {error}")
        case Severity.PERMANENT:
            return ServerRefused(
                f"the server{place} refuses: {error}; check user, password and permissions, and that the "
                "keys of this docket are its own"
            )
        case _:
            return ServerRefused(f"the server{place} did not understand: {error}")


def unreachable(where: str, error: BaseException) -> DocketError:
    """Nothing answers: the three remedies."""
    if severity(error) is Severity.PERMANENT:
        return translate(error, where)
    return ServerUnavailable(
        f"nothing answers at {where}: {error}; start a Redis or Valkey server there, or set DOCKET_URL to "
        "one that runs, or install docket-platform[local] and use a docket.toml without a url, which "
        "brings a server of its own"
    )
