"""The problems of a configuration: where, what was expected, what was found, what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import ConfigurationError
from ..reading.keypath import KeyPath, dotted


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, or, as a warning, that will surprise.

    Arguments:
        message: what was expected and what was found.
        path: the key it is about; empty for the file as a whole.
        suggestion: what was probably meant, or what to do next.
        file: the file as it was given, empty if none is to blame.
        line: counted from 1; 0 if no line is to blame.
        column: counted from 1.
        variable: the environment variable to blame, empty if none is.
        excerpt: the line with its secrets hidden.
        caret: the column in the excerpt that is pointed at, counted from 1.
    """

    message: str
    path: KeyPath = ()
    suggestion: str = ""
    file: str = ""
    line: int = 0
    column: int = 0
    variable: str = ""
    excerpt: str = ""
    caret: int = 0

    @property
    def place(self) -> str:
        """The place of the problem: ``docket.toml:48:1``, the file, or the variable."""
        if self.variable:
            return self.variable
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file

    def render(self) -> str:
        """Write one line, then, if there is one to show, the line of the file with a caret."""
        parts = [self.place, dotted(self.path), self.message]
        text = ": ".join(part for part in parts if part)
        if self.suggestion:
            text += f"; {self.suggestion}"
        if not self.excerpt:
            return text
        return f"{text}\n    {self.excerpt}\n    {' ' * (self.caret - 1)}^"


class ConfigurationInvalid(ConfigurationError):
    """The configuration cannot be used.

    Arguments:
        problems: everything that is wrong, in the order of the file.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problem.render() for problem in self.problems))


class ConfigurationUnreadable(ConfigurationInvalid):
    """There is no file to read a configuration from, or it cannot be read."""
