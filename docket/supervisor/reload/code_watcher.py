"""Watching of the code beside the file: for developers of tasks, not for production."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import watchfiles

from ...foundation.service import Service

logger = logging.getLogger("docket.supervisor")

FOREIGN: Final = frozenset({"__pycache__", "node_modules", "site-packages", "venv", "env"})
"""Directories whose code is not the user's."""


class CodeWatcher(Service):
    """A watcher that calls ``changed`` when Python files in a directory, or below it, have come to rest.

    Arguments:
        directory: where the code is.
        changed: called once for all that changed together; what changes meanwhile is the next call.
    """

    def __init__(self, directory: Path, changed: Callable[[], Awaitable[None]]) -> None:
        self._directory = directory.resolve()
        self._changed = changed

    async def run(self) -> None:
        """Watch until stopped."""
        stop = asyncio.Event()
        watch: Any = watchfiles.awatch  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        try:
            async for changes in watch(
                self._directory,
                watch_filter=self._counts,
                debounce=400,
                step=100,
                stop_event=stop,
            ):
                names = sorted(
                    {str(Path(path).relative_to(self._directory)) for _, path in changes}
                )
                logger.info("Code has changed: %s", ", ".join(names))
                await self._changed()
        finally:
            stop.set()

    def _counts(self, _: object, path: str) -> bool:
        return is_code(self._directory, Path(path))


def is_code(directory: Path, path: Path) -> bool:
    """Return True if a file is the user's code.

    Arguments:
        directory: where the code is.
        path: the file, in it or below it.

    Example:
        >>> is_code(Path("/shop"), Path("/shop/.venv/lib/x.py"))
        False
    """
    parts = path.relative_to(directory).parts
    is_foreign = any(part.startswith(".") or part in FOREIGN for part in parts)
    return path.suffix == ".py" and not is_foreign
