"""Signals that a process takes which runs tasks, and that must not be taken from what its tasks start.

What is executed afresh starts with the default of every signal, except of those that were ignored
(``SIG_IGN``): so nothing is ignored here, it is answered by doing nothing. A fork inherits the answers, too,
and the descriptor that wakes the event loop: a SIGTERM to a child would end the worker, not the child.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import threading
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager
from types import FrameType

_taken: set[int] = set()
"""The signals that this process answers, and that a fork of it must not."""


def disregard(*numbers: int) -> None:
    """Do nothing at these signals from now on; children get their defaults.

    Arguments:
        numbers: the signals.
    """
    for number in numbers:
        signal.signal(number, _do_nothing)
        # System calls of libraries are no more disturbed than by a signal that is ignored.
        signal.siginterrupt(number, False)
    _taken.update(numbers)


def dump_stacks_at(number: int) -> None:
    """Write the stacks of all threads to the standard error at this signal, however the event loop hangs."""
    faulthandler.register(number)
    _taken.add(number)


@contextmanager
def answering(
    answer: Callable[[signal.Signals], object], *numbers: signal.Signals
) -> Generator[None]:
    """Let signals call a function in the event loop, for the length of a block, but not in children.

    Arguments:
        answer: called with the signal.
        numbers: the signals.
    """
    import asyncio  # noqa: PLC0415 - processes that only compute need none of it

    loop = asyncio.get_running_loop()
    for number in numbers:
        loop.add_signal_handler(number, answer, number)
    _taken.update(numbers)
    try:
        yield
    finally:
        _taken.difference_update(numbers)
        for number in numbers:
            loop.remove_signal_handler(number)


def _do_nothing(number: int, frame: FrameType | None) -> None:
    del number, frame


class _Mask(threading.local):
    """The signals that the forking thread has blocked, as long as it forks."""

    before: Collection[int] = ()


_mask = _Mask()


def _hold_back() -> None:
    """Keep signals to a fork until it has its defaults: one that came before would be lost."""
    _mask.before = signal.pthread_sigmask(signal.SIG_BLOCK, _taken)


def _go_on() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _mask.before)


def _give_back() -> None:
    """Restore the default action of every signal in a forked child."""
    if _taken:
        signal.set_wakeup_fd(-1)
    for number in _taken:
        faulthandler.unregister(number)
        is_interrupt = number == signal.SIGINT
        signal.signal(number, signal.default_int_handler if is_interrupt else signal.SIG_DFL)
    _taken.clear()
    _go_on()


os.register_at_fork(before=_hold_back, after_in_parent=_go_on, after_in_child=_give_back)
