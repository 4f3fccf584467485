"""Every error that Docket raises, in branches by who must act.

    DocketError
    ├── ConfigurationError      the author of docket.toml or of the environment
    ├── CallerError             whoever called the API
    │   ├── InvalidKey · PayloadTooLarge · NotSerializable
    ├── OperatorError           whoever runs the servers
    │   ├── ServerUnavailable   it may heal: the call can be repeated
    │   ├── ServerRefused       it will not heal by itself: credentials, permissions, wrong data
    │   ├── ServerMissing       there is no server to start
    │   └── ForeignData         the keys belong to another program
    └── TaskError               the author of a task
        ├── UnknownTask · Undecodable · SignatureMismatch
        └── LeaseLost           told to a running task: somebody else has taken it over

Every message says what was expected, what was found, where, and what to do next.
"""

from __future__ import annotations


class DocketError(Exception):
    """The root of all errors of this package."""


class ConfigurationError(DocketError):
    """The configuration can not be used; its author must change it."""


class CallerError(DocketError):
    """A call can not be carried out as it was made; the caller must change it."""


class InvalidKey(CallerError, ValueError):
    """A key is empty, too long or not printable."""


class PayloadTooLarge(CallerError, ValueError):
    """The serialized arguments of a task exceed the limit."""


class NotSerializable(CallerError, TypeError):
    """A value can not be encoded by the codecs that are allowed."""


class OperatorError(DocketError):
    """The surroundings do not allow the work; whoever runs them must act."""


class ServerUnavailable(OperatorError, ConnectionError):
    """The server can not be reached, or can not work right now; the call may be repeated."""


class ServerRefused(OperatorError):
    """The server refuses for good: credentials, permissions, or keys of an unexpected type."""


class ServerMissing(OperatorError):
    """No server binary was found to start the embedded or in-memory server with."""


class ForeignData(OperatorError):
    """The keys of this docket were written by another program, and are left alone."""


class TaskError(DocketError):
    """A task and its queued work do not fit; the author of the task must act."""


class UnknownTask(TaskError, LookupError):
    """No task of this name is registered here."""


class Undecodable(TaskError, ValueError):
    """Stored bytes are not a payload: truncated, forged, or of a codec that is not allowed."""


class SignatureMismatch(TaskError, TypeError):
    """The stored arguments do not fit the signature of the task."""


class LeaseLost(TaskError):
    """Another worker has taken over this execution; whatever this run ends with is refused."""
