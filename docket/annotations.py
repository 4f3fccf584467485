"""Declarations of a task about its own parameters."""

from __future__ import annotations

import contextlib
import inspect
import pickle
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from functools import lru_cache
from typing import Any, Final, NamedTuple, cast

import uncalled_for
from typing_extensions import Self
from uncalled_for import CycleError, Dependency, get_dependency_parameters
from uncalled_for.annotations import _metadata_cache
from uncalled_for.functional import _FunctionalDependency
from uncalled_for.introspection import _signature_cache
from uncalled_for.introspection import get_signature as _plain_signature

from .foundation.error_text import attempt, cut
from .instrumentation import telemetry

_ANYTHING: Final = inspect.Signature(
    [
        inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL),
        inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD),
    ]
)


class Annotation:
    """Something that stands in ``Annotated[...]`` of a parameter."""

    @classmethod
    def annotated_parameters(cls, signature: inspect.Signature) -> Mapping[str, Self]:
        """Return the parameters of a signature that carry this annotation, by name."""
        found: dict[str, Self] = {}
        for name, parameter in signature.parameters.items():
            for annotation in getattr(parameter.annotation, "__metadata__", ()):
                if isinstance(annotation, cls):
                    found[name] = annotation
                elif isinstance(annotation, type) and issubclass(annotation, cls):
                    found[name] = annotation()
        return found


class Logged(Annotation):
    """Annotation that shows an argument in logs, which show none otherwise.

    Arguments:
        length_only: show how many items it has instead of the value; one that has no length is shown itself.

    Example:
        >>> async def greet(name: Annotated[str, Logged()], secret: str) -> None: ...
    """

    length_only: bool = False

    def __init__(self, length_only: bool = False) -> None:
        self.length_only = length_only

    def __repr__(self) -> str:
        return f"Logged({'length_only=True' if self.length_only else ''})"

    def format(self, argument: Any) -> str:
        """Return the argument as logs show it; one that cannot be shown must not stop what is logged."""
        return cut(attempt(lambda: self._shown(argument)))

    def _shown(self, argument: Any) -> str:
        if not self.length_only or isinstance(argument, type) or not isinstance(argument, Sized):
            return repr(argument)
        length = len(argument)
        if isinstance(argument, (dict, set)):
            return f"{{len {length}}}"
        return f"(len {length})" if isinstance(argument, tuple) else f"[len {length}]"


MOST_SIGNATURES = 4096


class _Size(NamedTuple):
    currsize: int
    maxsize: int


plain_signatures = _signature_cache
"""Cache of uncalled-for: frameworks that change the signature of a function remove it here."""


class _Remembered(NamedTuple):
    plain: inspect.Signature
    resolved: inspect.Signature


signatures: dict[Callable[..., Any], _Remembered] = {}
"""The signatures that are remembered, by function, as long as the plain one is the same."""


def get_signature(function: Callable[..., Any]) -> inspect.Signature:
    """Return the signature of a task with its annotations resolved, remembered."""
    plain = _declared_signature(function)
    known = signatures.get(function)
    if known is None or known.plain is not plain:
        telemetry.remembered("signature", _Size(len(signatures), MOST_SIGNATURES))
        while len(signatures) >= MOST_SIGNATURES:
            signatures.pop(next(iter(signatures)), None)
        known = signatures[function] = _Remembered(plain, _signature_of(function))
    return known.resolved


def _declared_signature(function: Callable[..., Any]) -> inspect.Signature:
    """Return the signature as it is written; that of a builtin without one takes anything.

    It is kept where uncalled-for keeps its own, so that looking for dependencies finds it, too.
    """
    try:
        return _plain_signature(function)
    except ValueError:
        _signature_cache[function] = _ANYTHING
        return _ANYTHING


def _signature_of(function: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(function, eval_str=True)
    except Exception:
        # A name that exists only for type checkers or in the function around this one, or a class that this
        # Python cannot subscript: it must not take the limits of other parameters with it.
        return _resolved_one_by_one(function)


def _resolved_one_by_one(function: Callable[..., Any]) -> inspect.Signature:
    signature = _declared_signature(function)
    inner: Any = inspect.unwrap(function)
    names = {**getattr(inner, "__globals__", {}), **_closure_of(inner)}

    def resolved(annotation: Any) -> Any:
        if not isinstance(annotation, str):
            return annotation
        try:
            return eval(annotation, names)  # noqa: S307 - as inspect does, of code that is imported anyway
        except Exception:
            return annotation  # the plain string is better than nothing

    parameters = [
        parameter.replace(annotation=resolved(parameter.annotation))
        for parameter in signature.parameters.values()
    ]
    # Where one annotation cannot be resolved, uncalled-for sees the dependencies of none.
    _metadata_cache[function] = {
        parameter.name: dependencies
        for parameter in parameters
        if (dependencies := list(_dependencies_in(parameter.annotation)))
    }
    return signature.replace(
        parameters=parameters, return_annotation=resolved(signature.return_annotation)
    )


def _dependencies_in(annotation: Any) -> Iterator[Dependency[Any]]:
    for one in getattr(annotation, "__metadata__", ()):
        if isinstance(one, Dependency):
            yield cast(Dependency[Any], one)
        elif isinstance(one, type) and issubclass(one, Dependency):
            yield one()


def _closure_of(function: Any) -> dict[str, Any]:
    """Return the variables that a function uses from the one around it."""
    found: dict[str, Any] = {}
    cells: Iterable[types.CellType] = getattr(function, "__closure__", None) or ()
    for name, cell in zip(function.__code__.co_freevars if cells else (), cells, strict=True):
        with contextlib.suppress(ValueError):  # not assigned yet
            found[name] = cell.cell_contents
    return found


def compact_signature(signature: inspect.Signature) -> str:
    """Return the parameters of a task as a list of tasks shows them; dependencies are three dots."""
    shown: list[str] = []
    is_shortened = False
    for parameter in signature.parameters.values():
        if isinstance(parameter.default, Dependency):
            is_shortened = True
            continue
        text = parameter.name
        if parameter.annotation is not parameter.empty:
            kind = parameter.annotation
            kind = typing.get_args(kind)[0] if hasattr(kind, "__metadata__") else kind
            text += f": {getattr(kind, '__name__', str(kind))}"
        if parameter.default is not parameter.empty:
            text += f" = {parameter.default!r}"
        shown.append(text)
    return ", ".join([*shown, "..."] if is_shortened else shown)


def validate_dependencies(function: Callable[..., Any]) -> None:
    """Check what a task declares about its dependencies.

    Raises:
        ValueError: there are two of a kind that there can be only one of, or one that blocks is declared
            where nothing may block.
        CycleError: a dependency needs itself.
    """
    get_signature(function)
    uncalled_for.validate_dependencies(function)
    for name, dependency in get_dependency_parameters(function).items():
        if _is_for_threads(dependency) and not is_plain(function):
            raise ValueError(
                f"expected what an async function can await for {name!r} of {_name_of(function)}, found "
                f"what would hold up its event loop ({_kind_of(dependency)}); take CurrentDocket() or "
                "Progress(), or write the task as a plain def"
            )
        _refuse_cycle(name, dependency, ())


def why_not_in_process(function: Callable[..., Any]) -> str:
    """Return why a task cannot run in a process of its own; empty if it can.

    The values of its dependencies are known only when it runs: one that cannot go to another process is an
    error then.
    """
    if not is_plain(function):
        return "expected a plain function, found one that runs in the event loop; write it with def"
    for name, dependency in get_dependency_parameters(function).items():
        if getattr(dependency, "is_tied", False):
            return (
                f"expected parameters that can go to another process, found {name!r} "
                f"({_kind_of(dependency)}), which is tied to the process of its worker; do without it"
            )
    try:
        pickle.dumps(function)
    except Exception as error:
        return (
            f"expected a function that another process can import, found {_name_of(function)} ({error}); "
            "write it at the top of its module"
        )
    return ""


@lru_cache(maxsize=4096)
def is_plain(function: Callable[..., Any]) -> bool:
    """Return True if a task runs in a thread to its end; a plain wrapper of another one does not."""
    inner: Any = function
    while inner is not None:
        called: Any = getattr(cast(Any, type(inner)), "__call__", None)  # noqa: B004 - it is what runs
        if inspect.iscoroutinefunction(inner) or inspect.iscoroutinefunction(called):
            return False
        inner = getattr(inner, "__wrapped__", None)
    return True


def _refuse_cycle(
    name: str, dependency: Dependency[Any], above: tuple[Callable[..., Any], ...]
) -> None:
    """Refuse a dependency that needs itself.

    Parameters of the task that take their values from each other are not a cycle: a call that gives one of
    them breaks the circle, and a run without any fails.
    """
    bound: Any = dependency.for_parameter(name)
    if isinstance(bound, _FunctionalDependency):
        factory: Callable[..., Any] = cast(Any, bound).factory
        if factory in above:
            chain = " -> ".join(_name_of(one) for one in (*above, factory))
            raise CycleError(f"Circular dependency: {chain}; one of these must do without the next")
        bindings: Mapping[str, Any] = getattr(cast(Any, bound), "bindings", {})
        inner: dict[str, Any] = {**get_dependency_parameters(factory), **bindings}
        for parameter, value in inner.items():
            if _is_for_threads(value):
                raise ValueError(
                    f"expected what a factory can await for {parameter!r} of {_name_of(factory)}, found "
                    f"what would hold up the event loop that it runs in ({_kind_of(value)}); take it as a "
                    "parameter of the plain task itself"
                )
            if isinstance(value, Dependency):
                _refuse_cycle(parameter, cast(Dependency[Any], value), (*above, factory))


def _is_for_threads(dependency: object) -> bool:
    return getattr(dependency, "is_for_threads", False)


def _kind_of(dependency: object) -> str:
    return type(dependency).__name__.lstrip("_")


def _name_of(function: Callable[..., Any]) -> str:
    # What can be called without being a function has none.
    return getattr(function, "__qualname__", None) or repr(function)


@lru_cache(maxsize=4096)
def logged_parameters(function: Callable[..., Any]) -> Mapping[str, Logged]:
    """Return the parameters of a task that logs may show, remembered."""
    telemetry.remembered("annotation", logged_parameters.cache_info())
    return Logged.annotated_parameters(get_signature(function))
