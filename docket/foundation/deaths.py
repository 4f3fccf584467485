"""The ends of processes, in words."""

from __future__ import annotations

import signal


def describe_exit(code: int | None) -> str:
    """Describe an exit code in words.

    Arguments:
        code: negative for the signal that ended the process; None if it is not known.

    Example:
        >>> describe_exit(-11)
        'SIGSEGV'
    """
    if code is None:
        return "no exit code"
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        # Of the signals for real-time programs only the first and the last have a name.
        return f"signal {-code}"
