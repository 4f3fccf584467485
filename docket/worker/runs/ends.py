"""The end of a coroutine, as a value."""

from __future__ import annotations

import types
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Raised:
    """The error that a coroutine has raised, of any kind."""

    error: BaseException


@types.coroutine
def ended(coroutine: Coroutine[Any, Any, T]) -> Generator[Any, Any, T | Raised]:
    """Await a coroutine; what it raises is returned, so that no kind of exception can slip through.

    A ``try`` around an ``await`` cannot tell a task that raises ``GeneratorExit`` from being thrown away
    with the event loop, after which nothing may be awaited. This generator can: the first comes out of the
    coroutine, the second in from outside. It alone leaves here.

    Arguments:
        coroutine: what is awaited.
    """
    step: Callable[[Any], Any] = coroutine.send
    value: Any = None
    while True:
        try:
            awaited = step(value)
        except StopIteration as stop:
            return stop.value
        except BaseException as error:
            return Raised(error)
        try:
            value = yield awaited
            step = coroutine.send
        except GeneratorExit:
            coroutine.close()
            raise
        except BaseException as error:
            step, value = coroutine.throw, error
