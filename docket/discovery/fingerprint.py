"""Fingerprints of code: what the modules of a process held when it imported them.

Content counts, neither paths nor times. A deploy writes the same bytes again, under another path and with
another time, and that is no new code; a copy that keeps times can be new code with an old time.
"""

from __future__ import annotations

import errno
import hashlib
import os
import sys
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from typing_extensions import Self

from .beside import NEEDED

FOREIGN: Final = frozenset({"__pycache__", "node_modules", "site-packages", "venv", "env"})
"""Directories whose code is not the user's."""

MISSING: Final = ""
"""Digest of a file that cannot be read."""

UNSURE: Final = "?"
"""Digest of a file that was written while the process imported it; no file has it."""

EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO})
"""Errors that keep a file from being read, and say nothing about the file."""


@dataclass(frozen=True)
class Code:
    """The code that a process runs.

    Arguments:
        modules: path and digest of the file of each module, by its name. A path below the directory where
            the process has started is relative to it.
    """

    modules: Mapping[str, tuple[str, str]]

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> Self:
        """Return the code that JSON describes."""
        return cls({name: (path, digest) for name, (path, digest) in fields.items()})

    @cached_property
    def fingerprint(self) -> str:
        """The same for the same content, wherever it lies; empty if there is no code of the user."""
        if not self.modules:
            return ""
        lines = (f"{name} {digest}\n" for name, (_, digest) in sorted(self.modules.items()))
        return hashlib.sha256("".join(lines).encode()).hexdigest()[:12]

    @property
    def files(self) -> Mapping[str, str]:
        """The digest of each file, by its path."""
        return dict(self.modules.values())


NO_CODE: Final = Code({})

_digests: Final[dict[str, str]] = {}
"""Digests by path, as they were at the first look: what is written later has not been imported."""


def code_of(names: Collection[str], since: int = 0) -> Code:
    """Return the code that this process has imported.

    It consists of the modules of the packages that are named, and of what was imported from below the
    working directory; of neither what Python and Docket bring along.

    Arguments:
        names: modules of the tasks.
        since: when the imports began, in ns since the epoch: a file that has changed since may have been
            read before or after; 0 does not ask.
    """
    directory = _working_directory()
    tops = {_top(name) for name in names} - NEEDED
    found: dict[str, tuple[str, str]] = {}
    for name, module in list(sys.modules.items()):
        top, path = _top(name), _file_of(module)
        if not path or top in NEEDED:
            continue
        relative = _below(directory, path)
        if top in tops or is_ours(relative):
            found[name] = (relative or path, _first_digest(path, since))
    return Code(found)


def is_ours(relative: str) -> bool:
    """Return True if the path of a file below some directory is that of the user's code.

    Example:
        >>> is_ours(".venv/lib/x.py")
        False
    """
    parts = relative.split("/")
    return not any(part.startswith(".") or part in FOREIGN or not part for part in parts)


def digest_of(path: Path | str) -> str:
    """Return the digest of the bytes of a file; ``MISSING`` if it is not there.

    Raises:
        OSError: it cannot be read now, and may be there all the same.
    """
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]
    except OSError as error:
        if error.errno in EXHAUSTED:
            raise
        return MISSING


def _first_digest(path: str, since: int) -> str:
    if path not in _digests:
        _digests[path] = _digest_since(path, since)
    return _digests[path]


def _digest_since(path: str, since: int) -> str:
    try:
        changed = Path(path).stat().st_ctime_ns
        # A time that is still to come is that of another machine, and says nothing.
        is_unsure = bool(since) and since <= changed <= time.time_ns()
        return UNSURE if is_unsure else digest_of(path)
    except OSError:
        return MISSING


def _working_directory() -> str:
    try:
        return os.getcwd()  # noqa: PTH109 - as a string
    except FileNotFoundError:
        return ""  # it was removed


def _below(directory: str, path: str) -> str:
    """Return a path relative to a directory; empty if it is not below it."""
    prefix = f"{directory.rstrip('/')}/"
    return path[len(prefix) :] if directory and path.startswith(prefix) else ""


def _file_of(module: ModuleType | None) -> str:
    """Return the file of a module; empty if it has none. Some are no modules, and answer anything."""
    try:
        path = vars(module).get("__file__") if module is not None else None
    except TypeError:
        return ""
    return path if isinstance(path, str) else ""


def _top(name: str) -> str:
    return name.partition(".")[0]
