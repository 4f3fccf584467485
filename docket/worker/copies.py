"""Copies of this process, made by a task that calls ``os.fork`` and lets its child come back here.

Such a child holds the sockets and the event loop of the worker, and would go on as a second one. It is ended
as a program of its own would have ended there.
"""

from __future__ import annotations

import os
import sys
import traceback

from .leftovers import flush

_CAN_NOT_WAIT = RuntimeError(
    "a child that a task has forked cannot await: its event loop is its parent's; end it with os._exit() "
    "before, or use multiprocessing"
)


def leave_if_copied(original: int, error: BaseException | None = None) -> None:
    """End this process if it is a copy; do nothing in the process that the task was started in.

    Arguments:
        original: the process that the task was started in.
        error: the error that the task has raised.
    """
    if os.getpid() == original:
        return
    code = _exit_code(error)
    flush()
    # Nothing of the worker is closed here: its lines belong to the process that was copied.
    os._exit(code)


def refuse_to_wait(original: int) -> None:
    """End this process if it is a copy: it must not wait in the event loop of the process it was copied from.

    Arguments:
        original: the process that the task was started in.
    """
    leave_if_copied(original, _CAN_NOT_WAIT)


def _exit_code(error: BaseException | None) -> int:
    """Return the exit code of a program that ends with an error, which is shown as there."""
    if error is None:
        return 0
    if isinstance(error, SystemExit):
        if error.code is None or isinstance(error.code, int):
            return (error.code or 0) & 0xFF
        print(error.code, file=sys.stderr)
        return 1
    traceback.print_exception(error)
    return 1
