"""Assertions on the work that waits: due already or in the future, but not started."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..calls.registry import name_of
from ..docket import Docket
from ..execution import Execution

SHOWN = 20
"""Maximum number of executions in a message."""


async def assert_task_scheduled(
    docket: Docket,
    function: str | Callable[..., Any],
    *,
    args: tuple[Any, ...] | None = None,
    kwargs: dict[str, Any] | None = None,
    key: str | None = None,
) -> None:
    """Expect such a call among what waits.

    Arguments:
        docket: where to look.
        function: the task, or its name.
        args: its positional arguments, all of them; left out, any.
        kwargs: keyword arguments that it has, perhaps among others.
        key: its key; left out, any.

    Raises:
        AssertionError: there is none; the message shows what there is.

    Example:
        >>> await assert_task_scheduled(docket, greet, args=("Jane",), key="greeting-42")
    """
    wanted, waiting = _Wanted(function, args, kwargs, key), await _waiting(docket)
    if not any(map(wanted.fits, waiting)):
        raise AssertionError(f"expected {wanted} to be scheduled, found {_shown(waiting)}")


async def assert_task_not_scheduled(
    docket: Docket,
    function: str | Callable[..., Any],
    *,
    args: tuple[Any, ...] | None = None,
    kwargs: dict[str, Any] | None = None,
    key: str | None = None,
) -> None:
    """Expect no such call among what waits.

    Arguments:
        as for ``assert_task_scheduled``.

    Raises:
        AssertionError: there is one; the message shows it.
    """
    wanted = _Wanted(function, args, kwargs, key)
    if found := list(filter(wanted.fits, await _waiting(docket))):
        raise AssertionError(f"expected {wanted} not to be scheduled, found {_shown(found)}")


async def assert_task_count(
    docket: Docket, function: str | Callable[..., Any] | None = None, *, count: int
) -> None:
    """Expect so many calls among what waits.

    Arguments:
        docket: where to look.
        function: the task to count, or its name; left out, all are counted.
        count: how many there should be.

    Raises:
        AssertionError: there are more or fewer; the message shows what there is.

    Example:
        >>> await assert_task_count(docket, greet, count=3)
    """
    waiting = await _waiting(docket)
    counted, of = waiting, ""
    if function is not None:
        wanted = _Wanted(function)
        counted, of = list(filter(wanted.fits, waiting)), f" of {wanted}"
    if len(counted) != count:
        raise AssertionError(
            f"expected {_calls(count)}{of} to be scheduled, found {len(counted)}; "
            f"there is {_shown(waiting)}"
        )


async def assert_no_tasks(docket: Docket) -> None:
    """Expect that nothing waits.

    Arguments:
        docket: where to look.

    Raises:
        AssertionError: something does; the message shows it.
    """
    if waiting := await _waiting(docket):
        raise AssertionError(f"expected nothing to be scheduled, found {_shown(waiting)}")


@dataclass(frozen=True)
class _Wanted:
    function: str | Callable[..., Any]
    args: tuple[Any, ...] | None = None
    kwargs: dict[str, Any] | None = None
    key: str | None = None

    @property
    def name(self) -> str:
        return self.function if isinstance(self.function, str) else name_of(self.function)

    def fits(self, execution: Execution) -> bool:
        """Return True if a function is the task, also one that is registered under other names."""
        if execution.function_name != self.name and execution.function is not self.function:
            return False
        if self.args is not None and execution.args != self.args:
            return False
        if self.key is not None and execution.key != self.key:
            return False
        missing = object()
        wanted = (self.kwargs or {}).items()
        return all(execution.kwargs.get(name, missing) == value for name, value in wanted)

    def __str__(self) -> str:
        given = [
            f"{word}={value!r}"
            for word, value in (("args", self.args), ("kwargs", self.kwargs), ("key", self.key))
            if value is not None
        ]
        return " with ".join([self.name, ", ".join(given)] if given else [self.name])


async def _waiting(docket: Docket) -> Sequence[Execution]:
    return (await docket.snapshot()).future


def _calls(count: int) -> str:
    return f"{count} call{'' if count == 1 else 's'}"


def _shown(executions: Sequence[Execution]) -> str:
    """Write one line per call; a test may see arguments that logs must not show."""
    if not executions:
        return "nothing"
    lines = [f"{_calls(len(executions))}:", *map(_line, executions[:SHOWN])]
    if len(executions) > SHOWN:
        lines.append(f"and {len(executions) - SHOWN} more")
    return "\n    ".join(lines)


def _line(execution: Execution) -> str:
    named = (f"{name}={value!r}" for name, value in execution.kwargs.items())
    arguments = ", ".join([*map(repr, execution.args), *named])
    when = execution.when.isoformat(timespec="milliseconds")
    return f"{execution.function_name}({arguments}), key {execution.key!r}, due {when}"
