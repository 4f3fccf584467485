"""Meanings of redis-py's errors, and the words in which they are passed on."""

from __future__ import annotations

import enum
import re
import ssl
from collections.abc import Iterator, Sequence
from typing import Any, Final

import redis.exceptions as foreign

from ..errors import (
    ConfigurationError,
    DocketError,
    LoginRefused,
    Misconfigured,
    ServerFull,
    ServerRefused,
    ServerUnavailable,
)


class Severity(enum.Enum):
    """The party or event that an error waits for."""

    TRANSIENT = "transient"
    """Time: the server is away, moving, loading, full; the same call may succeed later."""
    PERMANENT = "permanent"
    """An operator: credentials, permissions, keys of another type."""
    SCRIPT_MISSING = "script missing"
    """Us: the server does not know the script, or no longer does."""
    GROUP_MISSING = "group missing"
    """Us: the consumer group is gone."""
    BUG = "bug"
    """A developer: this should never be seen."""


class Trouble(str, enum.Enum):
    """Troubles between us and the server, by who must act."""

    WRONG = "wrong"
    """The author of the URL or the configuration."""
    REFUSED = "refused"
    """The administrator of permissions, or the author of other data there."""
    FULL = "full"
    """The administrator of memory, or a user who can free some."""
    AWAY = "away"
    """The operator of the server, or time."""


def trouble_of(error: BaseException) -> Trouble:
    """Return what is wrong."""
    if isinstance(error, ConfigurationError):
        return Trouble.WRONG
    if isinstance(error, ServerFull):
        return Trouble.FULL
    return Trouble.REFUSED if isinstance(error, ServerRefused) else Trouble.AWAY


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
    foreign.InvalidResponse,
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

_LOGIN_WORDS: Final = frozenset({"NOAUTH", "WRONGPASS"})
_LOGIN_PHRASES: Final = ("Authentication required", "invalid username-password", "invalid password")

_WRONG: Final = {
    "DB index is out of range": "the server has no database of this number",
    "Invalid SSL": "an ssl_ option in the URL has a value that is not known",
    "WRONG_VERSION_NUMBER": "the server does not speak TLS there: rediss:// may have to be redis://",
}
"""Replies that say that the URL does not fit the server, and their meanings."""

_NOT_ALLOWED: Final = "ACL failure in script"
"""A script has met a command or a key that its user may not touch."""

_NO_PLACE: Final = "max number of clients reached"

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
    """Return whom an error waits for, whether it was raised or answered as a value."""
    words = _words(error)
    if isinstance(error, foreign.NoScriptError) or "NOSCRIPT" in words:
        return Severity.SCRIPT_MISSING
    if "NOGROUP" in words:
        return Severity.GROUP_MISSING
    # redis-py derives AuthenticationError from ConnectionError: the permanent ones come first.
    if isinstance(error, _PERMANENT_TYPES) or words & _PERMANENT_WORDS or _is_locked_out(error):
        return Severity.PERMANENT
    if _NOT_ALLOWED in str(error):
        return Severity.PERMANENT
    if isinstance(error, _TRANSIENT_TYPES) or words & _TRANSIENT_WORDS:
        return Severity.TRANSIENT
    if _SPLIT_SLOT in str(error):
        return Severity.TRANSIENT
    return Severity.BUG


def refused_unread(replies: Sequence[Any]) -> list[int]:
    """Return which replies say that the command was not run: it belongs elsewhere, or came too early.

    A script is among them when its first write was refused: it has changed nothing.
    """
    return [
        index
        for index, reply in enumerate(replies)
        if isinstance(reply, foreign.ResponseError)
        and (isinstance(reply, _UNREAD_TYPES) or "READONLY" in _words(reply))
    ]


def translate(error: BaseException, where: str = "") -> DocketError:
    """Return the error in our words.

    Arguments:
        error: what redis-py raised, or what the server answered.
        where: the server, without secrets.
    """
    if isinstance(error, DocketError):
        return error
    place = f" at {where}" if where else ""
    found = severity(error)
    if found is Severity.TRANSIENT and _is_full(error):
        return ServerFull(
            f"the server{place} is full and refuses to write: {error}; raise maxmemory, or free memory: "
            "`docket doctor` says how much there is"
        )
    if found is Severity.TRANSIENT:
        return ServerUnavailable(f"the server{place} does not answer as it should: {error}")
    if found in {Severity.SCRIPT_MISSING, Severity.GROUP_MISSING}:
        return ServerUnavailable(f"the server{place} has lost what was sent to it before: {error}")
    if found is Severity.PERMANENT:
        kind = LoginRefused if _is_login(error) else ServerRefused
        return kind(
            f"the server{place} refuses: {error}; check user, password and permissions, and that the "
            "keys of this docket are its own"
        )
    return ServerRefused(f"the server{place} did not understand: {error}")


def unreachable(where: str, error: BaseException, *, has_worked: bool = False) -> DocketError:
    """Return the error for a server that cannot be reached.

    Arguments:
        where: the server, without secrets.
        error: what trying to reach it has raised.
        has_worked: whether it was reached before; then the remedies for a first start are left out.
    """
    if (wrong := _what_is_wrong(error, where)) and not has_worked:
        return Misconfigured(f"{where} cannot be used: {wrong} ({error})")
    if severity(error) is Severity.PERMANENT:
        return translate(error, where)
    if _NO_PLACE in str(error):
        return ServerUnavailable(
            f"the server at {where} takes no more clients: {error}; raise maxclients, or close some"
        )
    if has_worked:
        return ServerUnavailable(f"nothing answers at {where}: {str(error).rstrip('.')}")
    return ServerUnavailable(
        f"nothing answers at {where}: {str(error).rstrip('.')}; start a Redis or Valkey server there, "
        "or set DOCKET_URL to one that runs, or install docket-platform[local] and use a docket.toml "
        "without a url, which brings a server of its own"
    )


def is_of_redis(error: BaseException) -> bool:
    """Return whether Redis was in the way of something, in our words or in those of redis-py."""
    return isinstance(error, foreign.RedisError)


def needs_login(replies: Sequence[Any]) -> bool:
    """Return True if the server has answered that there is no login on this connection."""
    return any(isinstance(reply, foreign.RedisError) and _is_login(reply) for reply in replies)


def _is_full(error: BaseException) -> bool:
    return isinstance(error, foreign.OutOfMemoryError) or "OOM" in _words(error)


def _is_login(error: BaseException) -> bool:
    if isinstance(error, foreign.NoPermissionError):
        return False
    is_said = any(phrase in str(error) for phrase in _LOGIN_PHRASES)
    is_known = isinstance(error, foreign.AuthenticationError)
    return is_known or is_said or bool(_words(error) & _LOGIN_WORDS)


def _what_is_wrong(error: BaseException, where: str) -> str:
    """Return what in the URL does not fit the server; empty if it is something else."""
    for cause in _causes(error):
        for sign, meaning in _WRONG.items():
            if sign in str(cause):
                return meaning
        # Of a socket that is not there the server may make one; of a certificate it does not.
        if isinstance(cause, FileNotFoundError) and where.startswith("rediss"):
            return "a file that an ssl_ option names is not there"
    return ""


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _words(error: BaseException) -> set[str]:
    """Return the codes in an error of the server: the first word, or after a dash where a script met it."""
    return set(_CODE.findall(str(error)))


def _is_locked_out(error: BaseException) -> bool:
    """Return True if a certificate, or the rights of a socket's file, forbid to connect.

    redis-py raises the same as for a server that is down, and keeps the cause.
    """
    locks = ssl.SSLCertVerificationError | PermissionError
    return any(isinstance(cause, locks) for cause in _causes(error))
