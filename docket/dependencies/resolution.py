"""Resolution of dependencies: from the declarations of a task to the arguments of its call."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import lru_cache
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from typing_extensions import Self
from uncalled_for import (
    Dependency,
    FailedDependency,
    get_annotation_dependencies,
    get_dependency_parameters,
)
from uncalled_for.frames import Frame, _current_frame
from uncalled_for.functional import _Depends

from ..annotations import get_signature, is_plain
from ..calls.registry import TaskFunction
from ..docket import Docket
from ..execution import Execution
from ..storage.limits import Question
from .admission import Gate, ask
from .base import (
    AdmissionBlocked,
    CompletionHandler,
    FailureHandler,
    Runtime,
    current_docket,
    current_execution,
    current_worker,
)
from .concurrency_limit import ConcurrencyLimit, is_granted
from .context import _TaskArgument
from .cooldown import Cooldown
from .debounce import Debounce
from .plain import for_plain
from .rate_limit import RateLimit

if TYPE_CHECKING:
    from exceptiongroup import ExceptionGroup
else:
    # Builtin from Python 3.11 on; before that the distribution of this name brings it.
    _home = "exceptiongroup" if sys.version_info < (3, 11) else "builtins"
    ExceptionGroup = importlib.import_module(_home).ExceptionGroup

D = TypeVar("D", bound=Dependency[Any])

WORKER_SLOT = "__worker_dep__"
"""Prefix of the names of a worker's own dependencies, so that they never reach a task."""


CONFIGURED_SLOT = "__configured__"
"""Prefix of the names of dependencies that only the configuration declares."""


class DependencyHost(Protocol):
    """The facts that a dependency may know of the worker that runs it."""

    @property
    def docket(self) -> Docket:
        """The docket that it works for."""
        ...

    @property
    def dependencies(self) -> Mapping[str, Dependency[Any]]:
        """Dependencies that it wraps around every task."""
        ...


_BUILT_IN = (ConcurrencyLimit, Cooldown, Debounce, RateLimit)
_ROLES = (FailureHandler, CompletionHandler, Runtime)


def is_built_in(dependency: object) -> bool:
    """Return True if it is one of our gates, and asks as it does: a user's subclass may decide by itself."""
    return any(
        isinstance(dependency, kind) and type(dependency).__aenter__ is kind.__aenter__
        for kind in _BUILT_IN
    )


def is_bare(function: TaskFunction) -> bool:
    """Return True if a task declares no dependencies."""
    return not get_dependency_parameters(function) and not get_annotation_dependencies(function)


class Resolution:
    """The dependencies of one run: entered in their order, left in reverse.

    Arguments:
        host: the worker.
        execution: what runs.
        instead: what the configuration declares; each stands for all of its kind that the task declares.

    Raises (on entering):
        AdmissionBlocked: a dependency does not let the task start; nothing after it was entered.
        ExceptionGroup: some could not be resolved; it names their parameters.
    """

    def __init__(
        self, host: DependencyHost, execution: Execution, instead: Sequence[Dependency[Any]] = ()
    ) -> None:
        self._host = host
        self._execution = execution
        self._instead = list(instead)
        self._stack = AsyncExitStack()
        self.args = execution.args
        """Positional arguments of the call of the task."""
        self.arguments: dict[str, Any] = {}
        """Keyword arguments of the call of the task, beside those that its caller gave."""
        self.found: dict[str, Any] = {}
        """Everything that was resolved, including the worker's own dependencies and those in ``Annotated``.
        """
        self.failures: dict[str, FailedDependency] = {}

    def role(self, kind: type[D]) -> D | None:
        """Return the dependency that plays a role in this run."""
        for value in self.found.values():
            if isinstance(value, kind):
                return value
        return None

    async def __aenter__(self) -> Self:
        try:
            await self.resolve()
            self._refuse_failures()
        except BaseException:
            await self.__aexit__(*sys.exc_info())
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # A dependency may clean up after an error, and even swallow it: the task has failed all the same.
        await self._stack.__aexit__(exc_type, exc_value, traceback)

    async def resolve(self) -> None:
        """Enter all dependencies; what fails is kept, and does not stop the others."""
        function, given = self._execution.function, _given(self._execution)
        _Depends.cache.set({})
        _Depends.stack.set(self._stack)
        declared_here = get_dependency_parameters(function)
        frame = Frame(function, given, declared_here)
        self._stack.callback(_current_frame.reset, _current_frame.set(frame))
        await self._ask_together(given)
        for name, dependency in self._host.dependencies.items():
            await self._enter(f"{WORKER_SLOT}{name}", dependency)
        for name, dependency in declared_here.items():
            if name in given:
                await self._enter_given(name, given[name])
                continue
            if self._instead and (declared := self._declared_for(dependency)) is not None:
                await self._enter(name, declared)
                self.arguments[name] = self.found.get(name)
                continue
            try:
                if isinstance(dependency, _TaskArgument) and dependency.is_bare:
                    raise ValueError("No parameter name specified")
                self.found[name] = value = await frame.resolve(name)
                self.arguments[name] = for_plain(value) if is_plain(function) else value
            except Exception as error:
                self._failed(name, error)
        for name, dependencies in get_annotation_dependencies(function).items():
            value = given.get(name, self.arguments.get(name))
            for index, dependency in enumerate(dependencies):
                if self._declared_for(dependency) is not None:
                    continue
                await self._enter(
                    name, dependency.bind_to_parameter(name, value), f"{name}[{index}]"
                )
        for dependency in self._instead:
            name = f"{CONFIGURED_SLOT}{type(dependency).__name__}"
            if not any(isinstance(found, type(dependency)) for found in self.found.values()):
                await self._enter(name, dependency)
        if self._host.dependencies:
            self.failures.update(detect_single_conflicts(self.found, {}))

    async def _ask_together(self, given: Mapping[str, Any]) -> None:
        """Ask all gates whose names follow from what the caller gave, before anything is entered."""
        execution = self._execution
        found = [gate for gate in self._gates(given) if is_built_in(gate)]
        asked: list[tuple[Gate[Any], Question]] = []
        for gate in found:
            # One without its argument fails where it stands, as any dependency does.
            with contextlib.suppress(ValueError):
                if (question := gate.question(execution)) is not None:
                    asked.append((gate, question))
        if len(asked) == 1 and is_granted(execution, asked[0][1]):
            execution.admitted_by.add(asked[0][1])
        elif asked:
            await ask(execution, asked)

    def _gates(self, given: Mapping[str, Any]) -> Iterator[Any]:
        """Yield the dependencies that this run will enter and whose arguments are known already."""
        function = self._execution.function
        declared_here = get_dependency_parameters(function)
        yield from self._host.dependencies.values()
        for name, dependency in declared_here.items():
            if name not in given and self._declared_for(dependency) is None:
                yield dependency
        for name, dependencies in get_annotation_dependencies(function).items():
            if name in given or name not in declared_here:
                for dependency in filter(is_built_in, dependencies):
                    if self._declared_for(dependency) is None:
                        yield dependency.bind_to_parameter(name, given.get(name))
        yield from self._instead

    async def _enter_given(self, name: str, value: Any) -> None:
        """Let a value from the caller play the role of the dependency that it replaces."""
        given: Dependency[Any] = value
        if not isinstance(value, _ROLES) or self._declared_for(given) is not None:
            return
        await self._enter(name, given)
        entered = self.found.get(name, value)
        self.args = tuple(entered if one is value else one for one in self.args)
        if name in self._execution.kwargs:
            self.arguments[name] = entered

    def _declared_for(self, dependency: Dependency[Any]) -> Dependency[Any] | None:
        """Return the dependency that the configuration declares in place of another one."""
        return next((one for one in self._instead if isinstance(dependency, type(one))), None)

    async def _enter(
        self, name: str, dependency: Dependency[Any], found_as: str | None = None
    ) -> None:
        try:
            self.found[found_as or name] = await self._stack.enter_async_context(dependency)
        except Exception as error:
            self._failed(name.removeprefix(WORKER_SLOT).removeprefix(CONFIGURED_SLOT), error)

    def _failed(self, name: str, error: Exception) -> None:
        if isinstance(error, AdmissionBlocked):
            raise error
        self.failures[name] = FailedDependency(name, error)

    def _refuse_failures(self) -> None:
        if self.failures:
            names = ", ".join(failure.parameter for failure in self.failures.values())
            raise ExceptionGroup(
                f"Failed to resolve dependencies for parameter(s): {names}",
                [failure.error for failure in self.failures.values()],
            )


def _given(execution: Execution) -> dict[str, Any]:
    names = _plain_names(execution.function)
    args, kwargs = execution.args, execution.kwargs
    if names is not None and len(args) <= len(names) and kwargs.keys() <= set(names[len(args) :]):
        return {**dict(zip(names, args, strict=False)), **kwargs}
    try:
        return dict(execution.arguments)
    except TypeError:
        # Calling the task will fail with the same error, and report it.
        return dict(execution.kwargs)


@lru_cache(maxsize=4096)
def _plain_names(function: TaskFunction) -> tuple[str, ...] | None:
    """Return the names of all parameters, if each can be given by position and by name."""
    parameters = get_signature(function).parameters.values()
    if any(one.kind is not one.POSITIONAL_OR_KEYWORD for one in parameters):
        return None
    return tuple(one.name for one in parameters)


def step_into(host: DependencyHost, execution: Execution) -> None:
    """Set the run of the current context; it ends with the run."""
    current_docket.set(host.docket)
    current_worker.set(host)
    current_execution.set(execution)


@asynccontextmanager
async def resolved_dependencies(
    worker: DependencyHost, execution: Execution
) -> AsyncGenerator[dict[str, Any], None]:
    """Yield the resolved dependencies of an execution by parameter; one that failed stands there as such.

    Arguments:
        worker: whose own dependencies are entered as well.
        execution: what is about to run.
    """
    tokens = (current_docket.get(None), current_worker.get(None), current_execution.get(None))
    step_into(worker, execution)
    resolution = Resolution(worker, execution)
    try:
        try:
            await resolution.resolve()
            yield {**resolution.found, **resolution.arguments, **resolution.failures}
        except BaseException:
            await resolution.__aexit__(*sys.exc_info())
            raise
        else:
            await resolution.__aexit__(None, None, None)
    finally:
        for variable, value in zip(
            (current_docket, current_worker, current_execution), tokens, strict=True
        ):
            if value is not None:
                cast(Any, variable).set(value)


def validate_worker_dependencies(
    dependencies: Mapping[str, Any] | Sequence[Any] | None,
) -> dict[str, Dependency[Any]]:
    """Return a worker's own dependencies by name; those without one are numbered.

    Raises:
        ValueError: a name is reserved.
        TypeError: something is not a dependency.
    """
    validated: dict[str, Dependency[Any]] = {}
    for label, name, dependency in _named(dependencies or ()):
        if not isinstance(dependency, Dependency):
            raise TypeError(
                f"Worker dependency {label} must be a Dependency instance (e.g. Depends(fn) or "
                f"Retry(...)), got {type(dependency).__name__}."
            )
        validated[name] = dependency
    return validated


def _named(dependencies: Mapping[str, Any] | Sequence[Any]) -> Iterator[tuple[str, str, Any]]:
    if not isinstance(dependencies, Mapping):
        for index, dependency in enumerate(dependencies):
            yield f"'index {index}'", f"{index}", dependency
        return
    for name, dependency in dependencies.items():
        if name.startswith("__"):
            raise ValueError(
                f"Worker dependency name {name!r} is reserved; names starting with '__' are not allowed."
            )
        yield repr(name), name, dependency


def detect_single_conflicts(
    arguments: Mapping[str, Any], annotations: Mapping[str, Sequence[Dependency[Any]]]
) -> dict[str, FailedDependency]:
    """Find what only one may declare and both worker and task do, by a name for the conflict.

    Arguments:
        arguments: resolved dependencies by where they were found.
        annotations: dependencies in ``Annotated`` by parameter.
    """
    found: list[tuple[str, Any]] = [
        (name, value) for name, value in arguments.items() if isinstance(value, Dependency)
    ]
    found += [(name, value) for name, values in annotations.items() for value in values]
    conflicts: dict[str, FailedDependency] = {}
    covered: set[type] = set()
    # From the most special class to its bases, so that the error names the exact one if it can.
    for kind in sorted(_single_kinds(found), key=lambda kind: -len(kind.__mro__)):
        places = [(name, _kind(value)) for name, value in found if isinstance(value, kind)]
        if len(places) < 2 or any(issubclass(one, kind) for one in covered):
            continue
        covered.add(kind)
        exact = all(one is kind for _, one in places)
        described = ", ".join(
            repr(name) if exact else f"{name!r} ({one.__name__})" for name, one in places
        )
        conflicts[f"__conflict_{kind.__name__}__"] = FailedDependency(
            f"__conflict_{kind.__name__}__",
            ValueError(
                f"Only one {kind.__name__} dependency is allowed, but found{' at' if exact else ''}: "
                f"{described}. Declare it in exactly one place (task or worker)."
            ),
        )
    return conflicts


def _kind(value: object) -> type:
    return type(value)


def _single_kinds(found: Sequence[tuple[str, Any]]) -> list[type]:
    kinds: dict[type, None] = {}
    for _, value in found:
        for kind in type(value).__mro__:
            if issubclass(kind, Dependency) and kind is not Dependency and kind.single:
                kinds[cast(type, kind)] = None
    return list(kinds)


def get_single_dependency_parameter_of_type(
    function: TaskFunction, dependency_type: type[D]
) -> D | None:
    """Return the dependency of a kind that a task declares, None if it declares none.

    Arguments:
        function: the task.
        dependency_type: a kind that there can be only one of.
    """
    assert dependency_type.single, "Dependency must be single"
    declared: list[Any] = [
        *get_dependency_parameters(function).values(),
        *(one for many in get_annotation_dependencies(function).values() for one in many),
    ]
    return next((one for one in declared if isinstance(one, dependency_type)), None)


def get_single_dependency_of_type(
    dependencies: Mapping[str, Any], dependency_type: type[D]
) -> D | None:
    """Return the dependency of a kind among resolved ones, None if there is none.

    Arguments:
        dependencies: what was resolved, by parameter.
        dependency_type: a kind that there can be only one of.
    """
    assert dependency_type.single, "Dependency must be single"
    return next((one for one in dependencies.values() if isinstance(one, dependency_type)), None)
