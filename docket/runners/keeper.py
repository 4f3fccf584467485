"""The keeper of a command, which ends all that it has started: a program between a worker and a command.

Everything that the command starts, in sessions and groups of its own, too, ends with the command, with the
worker that asked for it, or when the worker says so: orphans below become children of the keeper, which
does not exit before they are gone. It is started by its path and imports little, because each command waits
for it.

====================  ============================================================================
SIGTERM               ends all politely, and what is left after the grace for good
death of the worker   ends all at once: the run may be another worker's by then
its standard error    one JSON object at the end: the exit code of the command, negative for the
                      signal that ended it, or the reason why it could not be started
====================  ============================================================================
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import signal
import sys
import time
from collections.abc import Iterator

WAKING = {signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP}
"""Signals that the keeper waits for; SIGHUP means that the worker is dead."""

LINGERING = 1.0
"""Seconds in which what a command leaves behind may end by itself: the rest of a pipe, say."""

ROUND = 0.02
"""Seconds between two rounds of the final signal: what is about to die may have started more."""

MOST_ROUNDS = 250
"""After which the keeper gives up: what is left then belongs to another user."""

_DEATH_SIGNAL = 1
_CHILD_SUBREAPER = 36

Plan = Iterator[tuple[float, int]]
"""After how many seconds which signal is sent, again and again until nothing is left."""


def keep(parent: int, grace: float, command: list[str]) -> dict[str, object]:
    """Run a command, end everything that is left of it, and return the last word about it.

    Arguments:
        parent: the worker.
        grace: seconds between the polite and the final signal.
        command: the program and its arguments.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, WAKING)
    _set(_CHILD_SUBREAPER, 1)
    _set(_DEATH_SIGNAL, signal.SIGHUP)
    if os.getppid() != parent:
        return {"error": "its worker is dead"}
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        _become(command, write)
    os.close(write)
    with os.fdopen(read) as line:
        # The line ends without a word where the command has taken the place of the child.
        trouble = line.read()
    code = _until_all_are_gone(child, grace)
    return {"error": trouble} if trouble else {"code": code}


def _until_all_are_gone(child: int, grace: float) -> int | None:
    """Wait for the command and for all that is left of it; returns how the command has ended."""
    code: int | None = None
    plan: Plan | None = None
    deadline, number = 0.0, 0
    while True:
        code = _buried(child, code)
        if not _has_children():
            return code
        if plan is None and code is not None:
            plan = _polite(LINGERING, grace)
            deadline, number = _next(plan)
        if plan is None:
            heard: int | None = signal.sigwait(WAKING)
        else:
            answer = signal.sigtimedwait(WAKING, max(0.0, deadline - time.monotonic()))
            heard = None if answer is None else answer.si_signo
        if heard == signal.SIGCHLD:
            continue
        if heard is None:
            for pid in descendants(os.getpid()):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, number)
        else:
            plan = _polite(0.0, grace) if heard == signal.SIGTERM else _final(0.0)
        assert plan is not None
        try:
            deadline, number = _next(plan)
        except StopIteration:
            return code


def _next(plan: Plan) -> tuple[float, int]:
    seconds, number = next(plan)
    return time.monotonic() + seconds, number


def _polite(linger: float, grace: float) -> Plan:
    yield linger, signal.SIGTERM
    yield from _final(grace)


def _final(seconds: float) -> Plan:
    yield seconds, signal.SIGKILL
    for _ in range(MOST_ROUNDS):
        yield ROUND, signal.SIGKILL


def _buried(child: int, code: int | None) -> int | None:
    """Reap dead children; return the exit code of the command as soon as it has ended."""
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid == child:
                code = os.waitstatus_to_exitcode(status)
    return code


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def descendants(root: int) -> list[int]:
    """Return all processes below one, children before their own children."""
    below: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - pathlib takes its time to be imported
        if name.isdigit():
            # One that has ended meanwhile is of no interest.
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as stat:  # noqa: PTH123
                # The program's name may hold anything but ends with the last bracket.
                fields = stat.read().rpartition(b")")[2].split()
                below.setdefault(int(fields[1]), []).append(int(name))
    found = [root]
    for pid in found:
        found.extend(below.get(pid, ()))
    return found[1:]


def _become(command: list[str], line: int) -> None:
    """Become the command; it dies with the keeper, should that be killed."""
    keeper = os.getppid()
    # Apart from the keeper, which is not meant by a script that signals its own group.
    os.setsid()
    _set(_DEATH_SIGNAL, signal.SIGKILL)
    # Nothing, unless the keeper has died meanwhile.
    os.kill(os.getpid(), 0 if os.getppid() == keeper else signal.SIGKILL)
    os.dup2(1, 2)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        # Python ignores them, and a command would inherit that.
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, WAKING)
    try:
        os.execvp(command[0], command)  # noqa: S606 - there shall be no shell
    except OSError as error:
        os.write(line, os.strerror(error.errno or errno.EINVAL).encode())
        os._exit(127)


def _set(what: int, value: int) -> None:
    ctypes.CDLL(None).prctl(what, value, 0, 0, 0)


def main() -> None:
    """Keep the command that the arguments name, for the process whose number is the first of them."""
    parent, grace, *command = sys.argv[1:]
    last_word = keep(int(parent), float(grace), command)
    sys.stderr.write(json.dumps(last_word))


if __name__ == "__main__":
    main()
