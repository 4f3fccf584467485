"""The declarations in the code of a task beside those in the file, and which of the two counts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...calls.registry import load
from ...config.load import Loaded
from ...config.reading.keypath import KeyPath

if TYPE_CHECKING:
    from ...config.tables.tasks import Task


def told_of(loaded: Loaded, path: KeyPath) -> Iterator[str]:
    """Describe a task, or a behaviour of it, as its code declares it; yield nothing for anything else.

    The code is imported, in this process.

    Arguments:
        loaded: the configuration.
        path: what is asked about.
    """
    if len(path) < 2 or path[0] != "tasks":
        return
    task = loaded.configuration.tasks[str(path[1])]
    if task.function is None:
        return
    try:
        declared = _declared(task.function, loaded.path.resolve().parent)
    # Foreign code may raise anything.
    except Exception as error:
        yield f"  code:     {task.function} cannot be imported: {type(error).__name__}: {error}"
        return
    for behaviour, kind in declared.items():
        if len(path) == 2 or path[2] == behaviour:
            yield f"  code:     {_verdict(task, behaviour, kind)}"


def _verdict(task: Task, behaviour: str, kind: str) -> str:
    if getattr(task, behaviour) is not None and behaviour in task.model_fields_set:
        return f"{kind}; the file says {behaviour} as well, and wins"
    return f"{kind}; the file says no {behaviour}, so it holds"


def _declared(reference: str, directory: Path) -> dict[str, str]:
    """Return the behaviours that a function declares: what the file calls each, and what the code does."""
    from ... import dependencies  # noqa: PLC0415 - the engine is heavy, and --help needs none of it
    from ...dependencies.lifecycles import declared_by  # noqa: PLC0415

    kinds: dict[str, Any] = {
        "timeout": dependencies.Timeout,
        "retry": dependencies.Retry,
        "concurrency": dependencies.ConcurrencyLimit,
        "rate_limit": dependencies.RateLimit,
        "cooldown": dependencies.Cooldown,
        "debounce": dependencies.Debounce,
        "perpetual": dependencies.Perpetual,
    }
    sys.path.insert(0, str(directory))
    try:
        function: Any = load(reference)
    finally:
        sys.path.remove(str(directory))
    return {
        name: type(one).__name__
        for name, kind in kinds.items()
        for one in declared_by(function)
        if isinstance(one, kind)
    }
