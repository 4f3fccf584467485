"""Merging of files and variables into one tree: the same for programs that add work and for supervisors.

Knows no model: what a tree may hold is checked elsewhere, or not at all.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

import tomli

PREFIX: Final = "DOCKET_"
"""Prefix of the variables that override keys of a file."""

PROFILE: Final = "DOCKET_PROFILE"
"""The variable that names the profile where the command line does not."""

SCHEMES: Final = (
    "redis",
    "rediss",
    "valkey",
    "valkeys",
    "unix",
    "redis+cluster",
    "rediss+cluster",
    "redis+sentinel",
    "rediss+sentinel",
    "embedded",
    "memory",
)
"""Schemes of the URL of a server."""

EMBEDDED: Final = ".docket"
"""The directory of the embedded server, beside a file."""

_OTHER: Final = re.compile(r"[^A-Z0-9]")


def variable_of(path: Sequence[str | int]) -> str:
    """Return the variable that overrides a key.

    Example:
        >>> variable_of(("tasks", "send-email", "timeout"))
        'DOCKET_TASKS__SEND_EMAIL__TIMEOUT'
    """
    return PREFIX + "__".join(_OTHER.sub("_", str(key).upper()) for key in path)


def content_of(file: str) -> str:
    """Return the content of a file that a variable names.

    Raises:
        OSError: it cannot be read.
        UnicodeDecodeError: it is not UTF-8.
    """
    return Path(file).read_text("utf-8").strip()


def value_of(text: str) -> Any:
    """Return the value of a variable: as TOML, else as a string.

    Example:
        >>> value_of('["safe"]'), value_of("64KiB")
        (['safe'], '64KiB')
    """
    try:
        tree = tomli.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return tree["value"] if len(tree) == 1 else text


def laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Lay a tree over another one, table by table; of what is not a table the upper one wins."""
    tree = dict(below)
    for key, value in above.items():
        old = tree.get(key)
        are_tables = isinstance(value, dict) and isinstance(old, dict)
        tree[key] = (
            laid_over(cast("dict[str, Any]", old), cast("dict[str, Any]", value))
            if are_tables
            else value
        )
    return tree


def patterns(tree: Mapping[str, Any]) -> list[str]:
    """Return the patterns that a raw tree includes, as far as it is well formed."""
    include = tree.get("include")
    entries = cast("list[Any]", include) if isinstance(include, list) else []
    return [entry for entry in entries if isinstance(entry, str) and is_beside(entry)]


def is_beside(pattern: str) -> bool:
    """Return True if a pattern means files beside, or below, the file that it stands in."""
    is_elsewhere = pattern.startswith("/") or ".." in pattern.split("/")
    return bool(pattern) and pattern.isprintable() and not is_elsewhere


def matches(path: Path, pattern: str) -> list[Path]:
    """Return the files beside another one that a pattern means; never that file itself."""
    found = (
        path.parent / name
        for name in glob.glob(pattern, root_dir=path.parent, recursive=True)  # noqa: PTH207 - hides dotfiles
    )
    return sorted(file for file in found if file.is_file() and not _is_same(file, path))


def embedded_url(file: Path | str) -> str:
    """Return the embedded server beside a configuration file."""
    return f"embedded://{Path(file).resolve().parent / EMBEDDED}"


def _is_same(file: Path, other: Path) -> bool:
    return other.exists() and file.samefile(other)
