"""What a task says about its own parameters."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from typing import Any

from typing_extensions import Self


class Annotation:
    """Something that stands in ``Annotated[...]`` of a parameter."""

    @classmethod
    def annotated_parameters(cls, signature: inspect.Signature) -> Mapping[str, Self]:
        """The parameters of a signature that carry this annotation, by name."""
        found: dict[str, Self] = {}
        for name, parameter in signature.parameters.items():
            for annotation in getattr(parameter.annotation, "__metadata__", ()):
                if isinstance(annotation, cls):
                    found[name] = annotation
                elif isinstance(annotation, type) and issubclass(annotation, cls):
                    found[name] = annotation()
        return found


class Logged(Annotation):
    """Shows an argument in logs, which show none otherwise.

    Arguments:
        length_only: show how many items it has instead of the value.

    Example:
        >>> async def greet(name: Annotated[str, Logged()], secret: str) -> None: ...
    """

    length_only: bool = False

    def __init__(self, length_only: bool = False) -> None:
        self.length_only = length_only

    def format(self, argument: Any) -> str:
        """The argument as logs show it."""
        if not self.length_only:
            return repr(argument)
        if not isinstance(argument, Collection):
            return "..."
        length = len(typing.cast(Collection[object], argument))
        if isinstance(argument, (dict, set, frozenset)):
            return f"{{len {length}}}"
        return f"(len {length})" if isinstance(argument, tuple) else f"[len {length}]"


@lru_cache(maxsize=4096)
def get_signature(function: Callable[..., Any]) -> inspect.Signature:
    """The signature of a task with its annotations resolved, remembered."""
    try:
        return inspect.signature(function, eval_str=True)
    except NameError:
        # A name that exists only for type checkers: the plain text is better than nothing.
        return inspect.signature(function)


@lru_cache(maxsize=4096)
def logged_parameters(function: Callable[..., Any]) -> Mapping[str, Logged]:
    """The parameters of a task that logs may show, remembered."""
    return Logged.annotated_parameters(get_signature(function))
