"""Watching of a configuration file, and of those that belong to it, however they are saved.

An event of the file system is only a hint: what counts is that the bytes differ, that they have been quiet
for a while, and that two readings agree. Every directory on the way to the file is watched, through every
symbolic link, because editors rename, ConfigMaps swap a link, and a watched file goes deaf after the first.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import watchfiles

from ...discovery.fingerprint import EXHAUSTED
from ...foundation.service import Reports, Service, end

logger = logging.getLogger("docket.supervisor")

_MISSING = "missing"

_BREATH = 0.05
"""Seconds between two looks in a directory where something else is written all the time."""


@dataclass(frozen=True)
class Rhythm:
    """The pace at which the file is watched.

    Arguments:
        settle: how long it must be quiet after the last write.
        min_interval: the shortest time between two reports.
        poll_interval: how often it is read even without a word from the file system.
        watch: ``auto``, ``poll`` to ask nothing of the file system but its bytes, or ``off``.
    """

    settle: timedelta = timedelta(milliseconds=500)
    min_interval: timedelta = timedelta(seconds=2)
    poll_interval: timedelta = timedelta(seconds=10)
    watch: Literal["auto", "poll", "off"] = "auto"

    def without_hints(self) -> Rhythm:
        """Return the same rhythm, but for the word of the file system."""
        return replace(self, watch="poll") if self.watch == "auto" else self


class Hints:
    """Hints that files may have changed: the word of the file system, and now and then without one.

    Arguments:
        paths: asked before each watch: the files.
        rhythm: asked before each watch, because a reload may change it.
    """

    def __init__(self, paths: Callable[[], Iterable[Path]], rhythm: Callable[[], Rhythm]) -> None:
        self._paths = paths
        self._rhythm = rhythm
        self._hint = asyncio.Event()
        self._reports = Reports()

    @property
    def is_there(self) -> bool:
        """True if there is one that was not waited for."""
        return self._hint.is_set()

    def give(self) -> None:
        """Give one."""
        self._hint.set()

    async def until_one(self) -> None:
        """Wait for a hint, as long as the rhythm says."""
        try:
            seconds = self._rhythm().poll_interval.total_seconds()
            await asyncio.wait_for(self._hint.wait(), seconds)
        except asyncio.TimeoutError:
            return
        finally:
            self._hint.clear()

    async def collect(self) -> None:
        """Collect hints until cancelled."""
        while True:
            if self._rhythm().watch != "auto":
                await asyncio.sleep(self._rhythm().poll_interval.total_seconds())
                continue
            try:
                await self._collect_from(self._directories())
            except Exception as error:
                # Such as too many watches, or no descriptor left: reading now and then needs neither.
                if self._reports.is_news(error):
                    path = next(iter(self._paths()))
                    logger.warning("Cannot watch %s (%s); it is read now and then", path, error)
                await asyncio.sleep(self._rhythm().poll_interval.total_seconds())

    async def _collect_from(self, directories: frozenset[tuple[str, int]]) -> None:
        """Collect hints until other directories are to be watched."""
        is_new = True
        async for paths in _changes(directories):
            # What was written before the watching began is not reported.
            if paths or is_new:
                self.give()
            is_new = False
            # A link may lead elsewhere now, or a directory may be a new one of the same name
            # that was even given the number of the old one.
            is_other = self._directories() != directories
            is_other |= self._rhythm().watch != "auto"
            if is_other or not paths.isdisjoint(name for name, _ in directories):
                return

    def _directories(self) -> frozenset[tuple[str, int]]:
        return frozenset(
            directory for path in self._paths() for directory in watched_directories(path)
        )


class Watcher(Service):
    """A watcher that calls ``changed`` whenever the file has come to rest with other bytes than before.

    Arguments:
        path: the file.
        rhythm: asked before each look, because a reload may change it.
        changed: called once per change.
        beside: asked before each look: the files that belong to it, such as those that it includes.
    """

    def __init__(
        self,
        path: Path,
        rhythm: Callable[[], Rhythm],
        changed: Callable[[], None],
        beside: Callable[[], Iterable[Path]] = tuple,
    ) -> None:
        self._path = path
        self._rhythm = rhythm
        self._changed = changed
        self._beside = beside
        self._seen = self._fingerprint()
        self._hints = Hints(self._paths, rhythm)
        self._last_report = float("-inf")

    @property
    def has_news(self) -> bool:
        """True if a change is still to be reported."""
        return self._rhythm().watch != "off" and self._fingerprint() != self._seen

    async def run(self) -> None:
        """Watch until stopped."""
        hinting = asyncio.create_task(self._hints.collect())
        try:
            while True:
                await self._hints.until_one()
                if self._rhythm().watch != "off" and await self._is_quiet():
                    await self._report()
        finally:
            await end(hinting)

    async def _is_quiet(self) -> bool:
        """Wait until two readings of a change, the settle time apart, agree; False without a change.

        Only the files themselves count: other writes beside them must not keep a change waiting.
        """
        if self._fingerprint() == self._seen:
            await asyncio.sleep(_BREATH)
            return False
        before = None
        while before != (now := [_stat(path) for path in self._paths()]):
            before = now
            await asyncio.sleep(self._rhythm().settle.total_seconds())
        return True

    async def _report(self) -> None:
        loop = asyncio.get_running_loop()
        found = self._fingerprint()
        if found == self._seen:
            return
        pause = self._last_report + self._rhythm().min_interval.total_seconds() - loop.time()
        if pause > 0:
            # More may be written meanwhile: the content at that moment counts.
            await asyncio.sleep(pause)
            self._hints.give()
            self._last_report = float("-inf")
            return
        self._seen = found
        self._last_report = loop.time()
        self._changed()

    def _paths(self) -> list[Path]:
        return [self._path, *self._beside()]

    def _fingerprint(self) -> list[tuple[Path, str]]:
        return [(path, fingerprint(path)) for path in self._paths()]


async def _changes(directories: Iterable[tuple[str, int]]) -> AsyncIterator[set[str]]:
    """Yield the paths that were touched: an empty set once a second without any."""
    stop = asyncio.Event()
    watch: Any = watchfiles.awatch  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    try:
        async for changes in watch(
            *(directory for directory, _ in directories),
            watch_filter=None,
            recursive=False,
            debounce=50,
            step=10,
            rust_timeout=1000,
            yield_on_timeout=True,
            stop_event=stop,
        ):
            yield {path for _, path in changes}
    finally:
        stop.set()


def watched_directories(path: Path) -> frozenset[tuple[str, int]]:
    """Return the directories of the file, and of links on the way, with their identity on the disk."""
    found: set[tuple[str, int]] = set()
    current = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would skip the links
    for _ in range(40):  # as many links as the kernel follows
        for directory in _existing_parents(current):
            found.add((str(directory), directory.stat().st_ino))
        link = _first_link(current)
        if link is None:
            break
        rest = current.relative_to(link)
        current = Path(os.path.abspath(link.parent / link.readlink() / rest))  # noqa: PTH100
    return frozenset(found)


def _existing_parents(path: Path) -> list[Path]:
    """Return the directory of the file and, should it vanish, the one above it; links on the way, too."""
    parents = [parent for parent in (path.parent, path.parent.parent) if parent.is_dir()]
    return parents or [next(parent for parent in path.parents if parent.is_dir())]


def _first_link(path: Path) -> Path | None:
    for part in (*reversed(path.parents), path):
        if part.is_symlink():
            return part
    return None


def fingerprint(path: Path) -> str:
    """Return the digest of the file's bytes; a file that is not there has one, too."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        if error.errno in EXHAUSTED:
            raise  # it may be there all the same
        return _MISSING


def _stat(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino)
