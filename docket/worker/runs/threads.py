"""The threads that plain functions run in; a program that ends does not wait for them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import SimpleQueue
from typing import Any

from typing_extensions import override

_Call = tuple["Future[Any]", Callable[[], Any]]


class Threads(Executor):
    """As many threads as there are calls at a time; one that is idle takes the next call.

    ``ThreadPoolExecutor`` joins its threads when the interpreter ends: a program whose worker has been
    drained would stay for as long as a task that nothing can stop.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle = 0
        """Threads that have nothing to do, and no call coming."""
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        """Calls for idle threads; None ends them."""

    @override
    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call a function in a thread; it must not raise anything."""
        future: Future[Any] = Future()
        call = future, lambda: fn(*args, **kwargs)
        with self._lock:
            is_one_idle = self._idle > 0
            if is_one_idle:
                self._idle -= 1
        if is_one_idle:
            self._calls.put(call)
        else:
            # Given to the thread, not to the queue: if it cannot be started, nothing else runs the call.
            threading.Thread(target=self._work, args=call, name="docket-task", daemon=True).start()
        return future

    @override
    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End all threads as soon as they are idle, without waiting for that. Nothing is called then."""
        self._calls.put(None)

    def _work(self, future: Future[Any], function: Callable[[], Any]) -> None:
        call: _Call | None = future, function
        del future, function
        while call is not None:
            _perform(*call)
            del call  # what was returned lives no longer than its receiver
            with self._lock:
                self._idle += 1
            call = self._calls.get()
        self._calls.put(None)  # for the next one


def _perform(future: Future[Any], function: Callable[[], Any]) -> None:
    if future.set_running_or_notify_cancel():
        future.set_result(function())
