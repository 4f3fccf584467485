"""A process of its own that makes calls for a worker, one after the other.

What goes over the line, both ways, is a length of eight bytes and a pickle. The end of the line, without a
word, means that the other side is dead.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import io
import os
import pickle
import runpy
import signal
import socket
import sys
import traceback
from collections.abc import Iterator
from types import ModuleType
from typing import Any, Final

from typing_extensions import override

from ..discovery.beside import Beside
from ..errors import FailedElsewhere
from ..foundation.error_text import message_of
from .signals import disregard

PROGRAM: Final = (
    "import sys; sys.path[:] = sys.argv[2:]; from docket.runners.calling import main; main()"
)
"""Program of the interpreter: before it looks for any module, it knows where its worker finds them."""

MAIN: Final = "__mp_main__"
"""Name of the worker's program here, so that it does not start again: as multiprocessing does."""

LENGTH: Final = 8

_DEATH_SIGNAL: Final = 1


def main() -> None:
    """Make calls on the line whose descriptor is the first argument, until it ends."""
    number = int(sys.argv[1])
    line = socket.socket(fileno=number)
    line.set_inheritable(False)
    with contextlib.suppress(RuntimeError):  # there is no standard error
        faulthandler.enable()
    _end_with_the_worker()
    # What a terminal or a service manager sends to all: a worker that drains waits for its calls.
    disregard(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    # The line of a killed process must end, even if it has left something behind.
    os.register_at_fork(after_in_child=lambda: os.close(number))
    with line.makefile("rwb") as stream:
        messages = _messages(stream)
        beside, program = pickle.loads(next(messages))  # noqa: S301 - our worker says so
        sys.meta_path[:0] = map(Beside, beside)
        for message in messages:
            answer = _answer(message, program)
            stream.write(len(answer).to_bytes(LENGTH, "big") + answer)
            stream.flush()


def _messages(stream: io.BufferedRWPair) -> Iterator[bytes]:
    while length := stream.read(LENGTH):
        yield stream.read(int.from_bytes(length, "big"))


def _answer(message: bytes, program: tuple[str | None, str | None]) -> bytes:
    """Make a call: what it returns, or what it raises and where, as a pickle."""
    try:
        call = _Reader(io.BytesIO(message), program).load()
        return _dumped((True, call(), ""))
    except BaseException as error:
        return _failure(error)


def _failure(error: BaseException) -> bytes:
    where = "".join(traceback.format_tb(error.__traceback__))
    try:
        answer = _dumped((False, error, where))
        pickle.loads(answer)  # noqa: S301 - we have just made it
    # Foreign exceptions do as they like when they are pickled, and when they come back.
    except BaseException:
        name = f"{type(error).__module__}.{type(error).__qualname__}"
        answer = _dumped((False, FailedElsewhere(name, message_of(error), where), where))
    return answer


def _dumped(value: Any) -> bytes:
    return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)


class _Reader(pickle.Unpickler):
    """Reader of a call, which loads the program of the worker if something of the call is defined there.

    Arguments:
        stream: where the call is read.
        program: the name of the program as a module, or the file that it is.
    """

    def __init__(self, stream: io.BytesIO, program: tuple[str | None, str | None]) -> None:
        super().__init__(stream)
        self._program = program

    @override
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        is_new = sys.modules["__main__"].__name__ != MAIN
        if module_name == "__main__" and is_new and any(self._program):
            _load(*self._program)
        return super().find_class(module_name, global_name)


def _load(name: str | None, file: str | None) -> None:
    main = ModuleType(MAIN)
    main.__dict__.update(
        runpy.run_module(name, run_name=MAIN, alter_sys=True)
        if name is not None
        else runpy.run_path(str(file), run_name=MAIN)
    )
    sys.modules["__main__"] = sys.modules[MAIN] = main


def _end_with_the_worker() -> None:
    """Die at once if the worker does, where the system allows: its run may be taken over by then."""
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
