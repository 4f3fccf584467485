"""The first process of a container: its only work is to hand signals on, and to reap orphans.

A container's process 1 inherits every orphan there. The supervisor waits for the children it knows, by their
numbers, and would leave the others behind as zombies; so it gets a parent that waits for all.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

HANDED_ON = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGTTIN,
    signal.SIGTTOU,
)


def under_init(work: Callable[[], int]) -> int:
    """Do something, as a child if this is process 1, and return its exit code.

    Arguments:
        work: the function to call; it returns an exit code. No thread may have been started before.
    """
    return work() if os.getpid() != 1 else parent_of(work)


def parent_of(work: Callable[[], int]) -> int:
    """Do something in a child, hand signals on to it, and bury every process that dies here.

    Returns in both: in the child with what its work gave, in the parent with what the child ended with.
    """
    # Before the child is there, so that none is lost between the two.
    signal.pthread_sigmask(signal.SIG_BLOCK, HANDED_ON)
    child = os.fork()
    if child == 0:
        # A group of its own: what a terminal sends to this one must come once, not twice.
        os.setpgid(0, 0)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDED_ON)
        return work()

    def hand_on(number: int, _: object) -> None:
        os.kill(child, number)

    for number in HANDED_ON:
        signal.signal(number, hand_on)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDED_ON)
    while True:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
