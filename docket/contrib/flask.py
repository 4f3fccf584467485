"""Docket for Flask: a docket for each app, and tasks that run in an app's context."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, ParamSpec, TypeVar, cast

from flask import Flask, current_app, has_app_context
from werkzeug.local import LocalProxy

from ..calls.registry import load
from ..errors import ConfigurationError
from ..sync import SyncDocket

P = ParamSpec("P")
R = TypeVar("R")

NAME: Final = "docket"
"""Name of the extension in ``app.extensions``."""


class FlaskDocket:
    """The extension: gives apps a docket, and tasks the context of an app.

    Of the configuration of an app it reads ``DOCKET_NAME``, ``DOCKET_URL``, ``DOCKET_CONFIG`` and, for all
    other arguments of ``SyncDocket``, the dictionary ``DOCKET_OPTIONS``. What is left out is found as
    ``Docket`` finds it.

    Arguments:
        app: an app to begin with; others can follow by ``init_app``.
        create_app: what makes the app of a worker, where none is made otherwise: a function, or its place
            as ``package.module:function``.

    Example:
        >>> docket = FlaskDocket(create_app="shop:create_app")
        >>> @docket.task
        ... def send_welcome(user: int) -> None: ...
    """

    def __init__(
        self, app: Flask | None = None, *, create_app: str | Callable[[], Flask] | None = None
    ) -> None:
        self._app: Flask | None = None
        self._create_app = create_app
        self._creating = threading.Lock()
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Give an app its docket: ``current_docket`` in its context. Tasks run in the app that came last.

        Nothing is connected before the docket is used.

        Raises:
            ConfigurationError: a value of its configuration is impossible.
        """
        settings = cast(dict[str, Any], app.config)
        app.extensions[NAME] = SyncDocket(
            settings.get("DOCKET_NAME"),
            settings.get("DOCKET_URL"),
            config=settings.get("DOCKET_CONFIG"),
            **settings.get("DOCKET_OPTIONS", {}),
        )
        self._app = app

    def task(self, function: Callable[P, R]) -> Callable[P, R]:
        """Let a task run in the context of the app, also in a worker.

        Where a context is active already, as in a test that calls the task itself, it counts.
        """
        if inspect.iscoroutinefunction(function):

            async def awaited(*args: P.args, **kwargs: P.kwargs) -> Any:
                with self._context(function.__name__):
                    return await function(*args, **kwargs)

            return cast(Callable[P, R], functools.wraps(function)(awaited))

        @functools.wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> R:
            with self._context(function.__name__):
                return function(*args, **kwargs)

        return called

    def _context(self, task: str) -> AbstractContextManager[object]:
        return nullcontext() if has_app_context() else self._app_for(task).app_context()

    def _app_for(self, task: str) -> Flask:
        """Return the app that tasks run in, made if there is none yet."""
        with self._creating:
            if self._app is not None:
                return self._app
            create = self._create_app
            if create is None:
                raise ConfigurationError(
                    f"expected a Flask app for the task {task!r}, found that none was given to "
                    "FlaskDocket.init_app in this process; name what makes it: "
                    'FlaskDocket(create_app="package.module:create_app")'
                )
            made = load(create) if isinstance(create, str) else create
            # It may call init_app itself.
            self._app = cast(Flask, made())
            return self._app


def _current() -> SyncDocket:
    docket: SyncDocket | None = current_app.extensions.get(NAME)
    if docket is None:
        raise ConfigurationError(
            f"expected a docket in the Flask app {current_app.name!r}, found none; call "
            "FlaskDocket.init_app(app) where the app is made"
        )
    return docket


current_docket: SyncDocket = cast(SyncDocket, LocalProxy(_current))
"""The docket of the current app, as ``current_app`` is the app."""
