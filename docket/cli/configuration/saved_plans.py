"""A plan kept in a file until it is applied: the revision it is based on, and the one it leads to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, cast

from ..terminal.exit_codes import CommandRefused, Misused, NotFound

VERSION: Final = 1
"""Version of the file."""


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """A plan as it is kept.

    Arguments:
        control: the socket of the supervisor that shall carry it out.
        revision: the revision that it changes.
        base: what that means.
        target: what the configuration shall mean then.
        changes: what it changes, one sentence each.
    """

    control: str
    revision: int
    base: str
    target: str
    changes: Sequence[str]

    def save(self, path: Path) -> None:
        """Keep it.

        Raises:
            Refused: the file cannot be written.
        """
        text = json.dumps({"version": VERSION, "kind": "plan", **asdict(self)}, indent=2)
        try:
            path.write_text(f"{text}\n", "utf-8")
        except OSError as error:
            raise CommandRefused(f"{path} cannot be written: {error.strerror}") from error

    @classmethod
    def read(cls, path: Path) -> SavedPlan:
        """Read the plan that a file keeps.

        Raises:
            NotFound: the file is not there.
            Misused: it is not a plan.
        """
        try:
            found = json.loads(path.read_text("utf-8"))
        except OSError as error:
            raise NotFound(f"{path} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise Misused(f"{path} is not a plan: {error}") from error
        kept = cast(dict[str, Any], found) if isinstance(found, dict) else {}
        if (kept.pop("version", None), kept.pop("kind", None)) != (VERSION, "plan"):
            raise Misused(
                f"{path} is not a plan of version {VERSION}; docket config plan --out makes one"
            )
        try:
            return cls(**kept)
        except TypeError as error:
            raise Misused(f"{path} is not a plan: {error}") from error
