"""Objects named on the command line as ``package.module:attribute``."""

from __future__ import annotations

import difflib
import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ...discovery.beside import look_beside
from ..terminal.exit_codes import Misused

if TYPE_CHECKING:
    from ...calls.registry import Registry

STANDARD: Final = "docket.tasks:standard_tasks"


def loaded(option: str, path: str) -> Any:
    """Return the object that an option names.

    Arguments:
        option: the name of the option in an error.
        path: where the object is.

    Raises:
        Misused: it is not there; the message says what is.
    """
    module, colon, attribute = path.partition(":")
    if not (module and colon and attribute):
        raise Misused(f'{option}: expected "package.module:attribute", found {path!r}')
    look_beside(str(Path.cwd()))
    try:
        found: Any = importlib.import_module(module)
    except ImportError as error:
        raise Misused(
            f"{option} {path}: {error}; modules are looked for in the working directory and on PYTHONPATH"
        ) from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise Misused(f"{option} {path}: nothing is called {part!r} there{_meant(found, part)}")
        found = getattr(found, part)
    return found


def register(registry: Registry, path: str) -> None:
    """Make the tasks of a collection known.

    Raises:
        Misused: there is no such collection, or it holds something else.
    """
    found = loaded("--tasks", path)
    try:
        registry.register_collection(path)
    except (TypeError, AttributeError) as error:
        raise Misused(
            f"--tasks {path}: expected a list of functions, such as tasks = [greet], found {found!r:.80}"
        ) from error
    except ValueError as error:
        raise Misused(f"--tasks {path}: {error}") from error


def _meant(where: Any, name: str) -> str:
    names = [known for known in dir(where) if not known.startswith("_")]
    close = difflib.get_close_matches(name, names, 1)
    return f"; did you mean {close[0]!r}?" if close else ""
