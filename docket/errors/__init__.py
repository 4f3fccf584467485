"""Every error that Docket raises, in branches by who must act.

    DocketError
    ├── ConfigurationError      the author of docket.toml or of the environment
    │   ├── InvalidSetting      one value of it; CronError · UnknownZone
    │   └── Misconfigured       the server is there, but not as its URL says
    ├── CallerError             the caller of the API
    │   ├── InvalidKey · InvalidName · InvalidOption · InvalidUrl · WrongArguments · PayloadTooLarge
    │   ├── NotSerializable · UnknownSchedule · TooManyRuns · Closed · OpenedElsewhere · WouldBlock
    │   ├── NotRunning          an execution does not run, or no longer
    │   └── ImmovableTime · EndlessWork, in tests
    ├── OperatorError           the operator of the servers
    │   ├── ServerUnavailable   it may heal: the call can be repeated
    │   │   └── ServerFull      it answers, but has no memory left for what is written
    │   ├── ServerRefused       it will not heal by itself: permissions, wrong data
    │   │   └── LoginRefused    user or password are not known there
    │   ├── NotTrusted          what Redis holds is not signed by a key that is known here
    │   ├── ServerMissing       there is no server to start
    │   ├── WorkerSilent        a worker has not answered in time
    │   ├── ResultEvicted       a result is gone, as results took more memory than they may
    │   └── ForeignData         the keys belong to another program
    ├── TaskError               the author of a task
    │   ├── UnknownTask · SignatureMismatch · ModelMismatch
    │   ├── Undecodable         stored bytes are not a payload; CodecRefused: one that may not be read here
    │   ├── CommandFailed       a command has not ended well
    │   ├── ProcessDied         a process that ran a plain function has ended before it did
    │   ├── CallRefused         an HTTP call was not answered as expected, or must not be made
    │   ├── FailedElsewhere     stands in for an exception that cannot be brought back
    │   └── LeaseLost           raised in a running task: another worker has taken it over
    └── RemoteTraceback         no one: it is never raised, and shows where its effect was

Every message says what was expected, what was found, where, and what to do next.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .server import LoginRefused, ServerFull, ServerRefused, ServerUnavailable

__all__ = [
    "CallRefused",
    "CallerError",
    "Closed",
    "CodecRefused",
    "CommandFailed",
    "ConfigurationError",
    "CronError",
    "DocketError",
    "EndlessWork",
    "FailedElsewhere",
    "ForeignData",
    "ImmovableTime",
    "InvalidKey",
    "InvalidName",
    "InvalidOption",
    "InvalidSetting",
    "InvalidUrl",
    "LeaseLost",
    "LoginRefused",
    "Misconfigured",
    "ModelMismatch",
    "NotRunning",
    "NotSerializable",
    "NotTrusted",
    "OpenedElsewhere",
    "OperatorError",
    "PayloadTooLarge",
    "ProcessDied",
    "RemoteTraceback",
    "ResultEvicted",
    "ServerFull",
    "ServerMissing",
    "ServerRefused",
    "ServerUnavailable",
    "SignatureMismatch",
    "TaskError",
    "TooManyRuns",
    "Undecodable",
    "UnknownSchedule",
    "UnknownTask",
    "UnknownZone",
    "WorkerSilent",
    "WouldBlock",
    "WrongArguments",
]

_OF_SERVERS = frozenset({"LoginRefused", "ServerFull", "ServerRefused", "ServerUnavailable"})


def __getattr__(name: str) -> Any:
    # They are errors of redis-py as well, which takes a while to load.
    if name not in _OF_SERVERS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(".server", __name__), name)


class DocketError(Exception):
    """The root of all errors of this package."""


class ConfigurationError(DocketError):
    """The configuration cannot be used; its author must change it."""


class InvalidSetting(ConfigurationError, ValueError):
    """One value of the configuration cannot be used, wherever it was given."""


class Misconfigured(ConfigurationError):
    """A server cannot be used as its URL says: a wrong database, a certificate or an option of TLS."""


class CronError(InvalidSetting):
    """A cron expression is malformed, or never due.

    Arguments:
        message: what was expected, what was found, and where.
        position: where in the expression, counted in characters from 0.
        reason: what is wrong there.
    """

    def __init__(self, message: str, position: int = 0, reason: str = "") -> None:
        super().__init__(message, position, reason)
        self.position = position
        self.reason = reason

    def __str__(self) -> str:
        return str(self.args[0])


class UnknownZone(InvalidSetting):
    """A name is not the exact name of a time zone."""


class CallerError(DocketError):
    """A call cannot be carried out as it was made; the caller must change it."""


class InvalidUrl(CallerError, ValueError):
    """A URL does not say which server is meant."""


class InvalidName(CallerError, ValueError):
    """A docket, a queue or a task cannot be called so."""


class InvalidKey(CallerError, ValueError):
    """A key is too long, or not a string that UTF-8 can encode."""


class InvalidOption(CallerError, ValueError):
    """An option of a call cannot be so."""


class PayloadTooLarge(CallerError, ValueError):
    """The serialized arguments of a task exceed the limit."""


class WrongArguments(CallerError, TypeError):
    """The arguments of a call do not fit the task."""


class NotSerializable(CallerError, TypeError):
    """A value cannot be encoded by the codecs that are allowed."""


class UnknownSchedule(CallerError, LookupError):
    """There is no schedule of this name, or there are several."""


class TooManyRuns(CallerError, ValueError):
    """More runs of a schedule are asked for than there may be at once."""


class Closed(CallerError, RuntimeError):
    """A docket is used after it was left."""


class OpenedElsewhere(CallerError, RuntimeError):
    """A docket is used in another event loop, or in another process, than the one that it was opened in."""


class WouldBlock(CallerError, RuntimeError):
    """A call that waits was made where nothing may wait: in an event loop."""


class NotRunning(CallerError, LookupError):
    """An execution does not run, or no longer."""


class ImmovableTime(CallerError):
    """The time of this docket cannot be moved: it is real for others, or is being moved already."""


class EndlessWork(CallerError):
    """The work to be run in a test does not come to an end."""


class OperatorError(DocketError):
    """The environment does not allow the work; its operator must act."""


class NotTrusted(OperatorError):
    """A schedule or a revision in Redis is not signed by a key that is known here."""


class WorkerSilent(OperatorError):
    """A worker has not answered in time."""


class ResultEvicted(OperatorError):
    """A result was taken away, because the results of its docket took more memory than they may."""


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


class CodecRefused(Undecodable):
    """Stored bytes are a payload of a codec that is not allowed here."""


class SignatureMismatch(TaskError, TypeError):
    """The stored arguments do not fit the signature of the task."""


class ModelMismatch(SignatureMismatch, Undecodable):
    """Stored values do not fit the types that the task declares here; another release of it may take them."""


class CommandFailed(TaskError):
    """A command has not ended well.

    Arguments:
        message: how it has ended, and the last line of its output.
        exit_code: None if it could not be started; negative is the signal that ended it.
        output: the end of what it has printed.
    """

    def __init__(self, message: str, exit_code: int | None = None, output: str = "") -> None:
        super().__init__(message, exit_code, output)
        self.exit_code = exit_code
        self.output = output

    def __str__(self) -> str:
        return str(self.args[0])


class ProcessDied(TaskError):
    """A process has ended before the plain function that ran in it.

    Arguments:
        message: what ended it, and what to do.
        exit_code: negative is the signal that ended it.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message, exit_code)
        self.exit_code = exit_code

    def __str__(self) -> str:
        return str(self.args[0])


class CallRefused(TaskError):
    """An HTTP call was not answered as expected, or must not be made.

    Arguments:
        message: what was expected, and what was found.
        status: the status of the answer; None if there was none.
        retry_after: seconds after which the other side wants to be asked again.
    """

    def __init__(
        self, message: str, status: int | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message, status, retry_after)
        self.status = status
        self.retry_after = retry_after

    def __str__(self) -> str:
        return str(self.args[0])


class FailedElsewhere(TaskError):
    """Stand-in for an exception that cannot be brought back here.

    Arguments:
        type_name: the module and name of the exception's type.
        message: its message.
        traceback: its traceback, as text.
    """

    def __init__(self, type_name: str, message: str, traceback: str = "") -> None:
        super().__init__(type_name, message, traceback)
        self.type_name = type_name
        self.message = message
        self.traceback = traceback

    def __str__(self) -> str:
        return f"{self.type_name}: {self.message}"


class LeaseLost(TaskError):
    """Another worker has taken over this execution; the outcome of this run is refused."""


class RemoteTraceback(DocketError):
    """The cause of an exception that was raised in another process; shows where, is never raised."""

    def __str__(self) -> str:
        return "\n\n" + "".join(map(str, self.args))
