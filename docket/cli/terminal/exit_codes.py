"""Exit codes: one number per kind of end, so that scripts can tell them apart."""

from __future__ import annotations

from typing import ClassVar, Final

from ...errors import CallerError, ConfigurationError, DocketError, ForeignData, ServerMissing

FAILED: Final = 1
USAGE: Final = 2
NOT_FOUND: Final = 3
REFUSED: Final = 4
UNREACHABLE: Final = 5
PARTIAL: Final = 6
INVALID: Final = 7
TIMED_OUT: Final = 8
WARNINGS: Final = 9


class CommandError(DocketError):
    """A command cannot do what it was asked for."""

    exit_code: ClassVar[int] = FAILED


class Misused(CommandError):
    """The command line has no meaning as it was typed."""

    exit_code = USAGE


class NotFound(CommandError):
    """There is nothing of this name."""

    exit_code = NOT_FOUND


class CommandRefused(CommandError):
    """The thing exists, and must not be touched."""

    exit_code = REFUSED


class TimedOut(CommandError):
    """The command has not ended in time, and may still do so."""

    exit_code = TIMED_OUT


class Partial(CommandError):
    """Some of it was done, some was not."""

    exit_code = PARTIAL


def exit_code(error: DocketError) -> int:
    """Return the number that a command ends with which met this error.

    Example:
        >>> exit_code(ServerUnavailable("nothing answers"))
        5
    """
    if isinstance(error, CommandError):
        return error.exit_code
    from ...errors import ServerRefused, ServerUnavailable  # noqa: PLC0415 - --help has no need of them

    codes = (
        (ConfigurationError, INVALID),
        ((ServerUnavailable, ServerMissing), UNREACHABLE),
        ((ServerRefused, ForeignData), REFUSED),
        (CallerError, USAGE),
    )
    return next((code for kinds, code in codes if isinstance(error, kinds)), FAILED)
