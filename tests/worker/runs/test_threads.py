"""The threads of plain functions: reused when idle, ended when told to."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future

import pytest

from docket.worker.runs.threads import Threads, _perform


def threads_alive() -> int:
    return sum(thread.name == "docket-task" for thread in threading.enumerate())


@pytest.fixture
def begun() -> int:
    """How many there are of other tests."""
    return threads_alive()


def test_calls_run_beside_each_other_and_idle_threads_take_the_next_ones(begun: int) -> None:
    threads = Threads()
    together = threading.Barrier(3)
    first = [threads.submit(together.wait, 20) for _ in range(3)]
    assert sorted(one.result(20) for one in first) == [0, 1, 2]
    while threads._idle < 3:
        time.sleep(0.001)

    more = [threads.submit(str, number) for number in range(3)]

    assert [one.result(20) for one in more] == ["0", "1", "2"]
    assert threads_alive() == begun + 3
    idle = [thread for thread in threading.enumerate() if thread.name == "docket-task"]
    threads.shutdown()
    for thread in idle[begun:]:
        thread.join(20)
    assert threads_alive() == begun


def test_a_call_that_is_taken_back_before_it_has_begun_is_not_made() -> None:
    made: list[int] = []
    gone: Future[None] = Future()
    gone.cancel()

    _perform(gone, lambda: made.append(1))

    assert made == []


def test_a_call_whose_thread_cannot_be_started_is_never_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads = Threads()
    made: list[int] = []

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        with pytest.raises(RuntimeError, match="new thread"):
            threads.submit(made.append, 1)
    threads.submit(made.append, 2).result(20)

    assert made == [2]
    threads.shutdown()
