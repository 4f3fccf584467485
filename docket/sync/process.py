"""The loop thread of this process: one, made when it is needed."""

from __future__ import annotations

import atexit
import os
import threading

from ..errors import Closed
from .loop_thread import LoopThread


class Process:
    """The loop thread of this process: started when it is first used, anew in a fork, ended at exit."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.thread: LoopThread | None = None
        self._is_over = False
        self._left: list[object] = []
        self._forking = threading.local()

    def running(self) -> LoopThread:
        """Return the loop thread, started if it does not run; the caller holds the lock.

        Raises:
            Closed: the program ends.
        """
        if self._is_over:
            raise Closed(
                "expected a docket that is used while its program runs, found that it ends and has closed "
                "all dockets; register functions of atexit that use one after the import of docket"
            )
        if self.thread is None:
            self.thread = LoopThread()
        return self.thread

    def keep(self, left: object) -> None:
        """Keep what a fork has inherited and must not end: it would touch the sockets of its parent."""
        self._left.append(left)

    def end(self) -> None:
        """Close all dockets, at the end of the program."""
        with self.lock:
            thread, self.thread, self._is_over = self.thread, None, True
        if thread is not None:
            thread.end()

    def before_fork(self) -> None:
        """Hold the loop: a fork inherits locks as they are, without the thread that would release them."""
        thread = self.thread
        is_held = thread is not None and not thread.is_here
        self._forking.go_on = thread.hold() if thread is not None and is_held else None

    def after_in_parent(self) -> None:
        """Let the loop go on."""
        if self._forking.go_on is not None:
            self._forking.go_on()

    def after_in_child(self) -> None:
        """Begin with no thread and a lock that is free."""
        self.lock = threading.Lock()
        self.keep(self.thread)
        self.thread = None


process = Process()
atexit.register(process.end)
os.register_at_fork(
    before=process.before_fork,
    after_in_parent=process.after_in_parent,
    after_in_child=process.after_in_child,
)
