"""The code that processes run, beside what the files hold from which they have imported it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ...discovery.fingerprint import Code, digest_of, is_ours
from ..conditions import Conditions
from ..processes.pool import Pool
from ..processes.process import ProcessState, WorkerProcess

SHOWN = 3
"""Number of changed files that are named."""


@dataclass(frozen=True)
class Behind:
    """The processes of a fleet that run older code than the files hold.

    Arguments:
        processes: the number of all processes that work.
        pids: those that are behind.
        pools: the pools that have such processes.
        files: the files that have changed.
    """

    processes: int = 0
    pids: frozenset[int] = frozenset()
    pools: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    def describe(self) -> str:
        """Return it in a sentence; empty if no process is behind."""
        if not self.pids:
            return ""
        more = f" and {len(self.files) - SHOWN} more" if len(self.files) > SHOWN else ""
        changed = f"{', '.join(self.files[:SHOWN])}{more}"
        return f"{len(self.pids)} of {self.processes} processes run older code than {changed}"


@dataclass(frozen=True)
class Reading:
    """The files of the code at a moment.

    Arguments:
        behind: the processes that run older code.
        content: digest by path, for the files of those.
        stats: when those were written, and how large they are.
        neighbours: other code in their directories, with when it was written and how large it is.
    """

    behind: Behind
    content: frozenset[tuple[str, str]] = frozenset()
    stats: frozenset[tuple[str, int, int]] = frozenset()
    neighbours: frozenset[tuple[str, int, int]] = frozenset()


class CodeState:
    """The code that a fleet has imported, beside what is on the disk; safe to call from any thread.

    Arguments:
        pools: the pools by name.
        conditions: how the supervisor stands.
    """

    def __init__(self, pools: Mapping[str, Pool], conditions: Conditions) -> None:
        self._pools = pools
        self._conditions = conditions
        self._known: dict[str, tuple[tuple[int, int, int], str]] = {}
        self.trouble = ""
        """Reason why the code on the disk cannot be run; empty if that is not known."""
        self.follows = False
        """True if processes are replaced when it changes."""

    def directories(self) -> frozenset[Path]:
        """Return the directories of the code of all processes that work."""
        codes = {
            (pool.desired.place, process.code.fingerprint): process.code
            for pool, process in self._working()
        }
        return frozenset(
            Path(place, directory)
            for (place, _), code in codes.items()
            for directory in {os.path.dirname(name) for name in code.files}  # noqa: PTH120
        )

    def look(self) -> Behind:
        """Return which processes run older code, and say so in the condition ``OldCode``."""
        return self.read().behind

    def read(self) -> Reading:
        """Return how the files stand to the processes, and say so in the condition ``OldCode``."""
        working = list(self._working())
        behind = [
            (pool, process, changed)
            for pool, process in working
            if (changed := self._changed(pool.desired.place, process.code))
        ]
        told = Behind(
            len(working),
            frozenset(process.pid for _, process, _ in behind),
            tuple(dict.fromkeys(pool.name for pool, _, _ in behind)),
            tuple(sorted({name for _, _, changed in behind for name in changed})),
        )
        self._tell(told)
        places = {pool.desired.place for pool, _, _ in behind}
        names = {name for _, process, _ in behind for name in process.code.files}
        paths = {name: Path(place, name) for place in places for name in names}
        return Reading(
            told,
            frozenset((name, self._digest(path)) for name, path in paths.items()),
            frozenset(stat for path in paths.values() if (stat := _stat(path))),
            _neighbours(places, names),
        )

    def _working(self) -> Iterator[tuple[Pool, WorkerProcess]]:
        for pool in list(self._pools.values()):
            for process in list(pool.processes):
                if process.state is ProcessState.READY:
                    yield pool, process

    def _changed(self, place: str, code: Code) -> tuple[str, ...]:
        """Return the files that no longer hold what was imported from them."""
        files = code.files.items()
        return tuple(name for name, known in files if self._digest(Path(place, name)) != known)

    def _digest(self, path: Path) -> str:
        """Return the digest of a file; that of the last look, if nothing says that it has changed."""
        try:
            found = path.stat()
        except OSError:
            return digest_of(path)
        stat = found.st_mtime_ns, found.st_size, found.st_ino
        known = self._known.get(str(path))
        if known is None or known[0] != stat:
            known = stat, digest_of(path)
            self._known[str(path)] = known
        return known[1]

    def _tell(self, behind: Behind) -> None:
        if not behind.pids:
            self.trouble = ""
            self._conditions.tell("OldCode", False, "")
        elif self.trouble:
            told = f"{behind.describe()}, which cannot be run: {self.trouble}"
            self._conditions.tell("OldCode", True, "Rejected", told)
        else:
            what = "it is followed soon" if self.follows else "docket restart"
            self._conditions.tell("OldCode", True, "Changed", f"{behind.describe()}: {what}")


def _stat(path: Path) -> tuple[str, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return str(path), found.st_mtime_ns, found.st_size


def _neighbours(places: Iterable[str], names: Iterable[str]) -> frozenset[tuple[str, int, int]]:
    """Return all code in the directories of files that are the user's own: one that is missing may come."""
    parents = {os.path.dirname(name) for name in names if not name.startswith("/")} | {""}  # noqa: PTH120
    directories = {Path(place, parent) for place in places for parent in parents}
    return frozenset(stat for directory in directories for stat in _code_in(directory))


def _code_in(directory: Path) -> Iterator[tuple[str, int, int]]:
    try:
        entries = sorted(os.listdir(directory))  # noqa: PTH208 - names are enough
    except OSError:
        return
    for name in entries:
        path = directory / (name if name.endswith(".py") else f"{name}/__init__.py")
        if is_ours(name) and (stat := _stat(path)) is not None:
            yield stat
