"""The probe: import what a configuration names, in a process of its own, and report what does not fit.

Read one JSON object from the standard input; write to the given descriptor, one JSON object a line: what it
begins with, and what it found. Output of the imported code goes where it likes.
"""

from __future__ import annotations

import base64
import importlib
import inspect
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...annotations import get_signature, validate_dependencies, why_not_in_process
from ...calls.binding import shape_of
from ...calls.registry import load
from ...discovery.beside import hidden
from ...serialization import Serializer
from ...serialization.written import made


@dataclass
class Probe:
    """One look at the code that a configuration names.

    Arguments:
        tell: called with each finding: the path, what is pointed at, a message and a suggestion.
        begin: called with each import before it starts, in case that it never ends.
    """

    tell: Callable[..., None]
    begin: Callable[[str], None]
    functions: dict[str, Any] = field(default_factory=dict[str, Any])

    def look(self, subject: Mapping[str, Any]) -> None:
        """Look at everything that a subject names."""
        for path, module in subject["modules"]:
            self._imported(path, module, importlib.import_module)
        for task, reference in subject["functions"].items():
            self._look_at_function(task, reference)
        for task in subject["processes"]:
            if task in self.functions:
                self._look_at_process(task)
        for path, reference in subject["errors"]:
            self._look_at_error(path, reference)
        for path, reference in subject["upcasts"]:
            self._look_at_upcast(path, reference)
        for path, task, call in subject["calls"]:
            if task in self.functions:
                self._look_at_call(path, task, base64.b64decode(call))
        for path, task, parameter in subject["parameters"]:
            self._look_at_parameter(path, task, parameter)

    def _imported(self, path: list[Any], name: str, imported: Callable[[str], Any]) -> Any:
        self.begin(name)
        try:
            return imported(name)
        # Code that exits, or is interrupted, while it is imported cannot be run either.
        except BaseException as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            self.tell(path, "value", f"cannot be imported: {reason}", _advice(error, name))
            return None

    def _look_at_function(self, task: str, reference: str) -> None:
        path = ["tasks", task, "function"]
        function = self._imported(path, reference, load)
        if function is None:
            return
        if problem := _objection(function):
            self.tell(path, "value", f"expected a function, found {problem}")
            return
        try:
            validate_dependencies(function)
        except Exception as error:
            self.tell(path, "value", f"declares what cannot be: {error}")
            return
        self.functions[task] = function

    def _look_at_process(self, task: str) -> None:
        if reason := why_not_in_process(self.functions[task]):
            self.tell(["tasks", task, "runner"], "value", reason, 'or leave out runner = "process"')

    def _look_at_error(self, path: list[Any], reference: str) -> None:
        found = self._imported(path, reference, load)
        if found is not None and not (isinstance(found, type) and issubclass(found, BaseException)):
            self.tell(path, "value", f"expected a class of errors, found {_kind(found)}")

    def _look_at_upcast(self, path: list[Any], reference: str) -> None:
        found = self._imported(path, reference, load)
        if found is None:
            return
        if problem := _objection(found):
            self.tell(path, "value", f"expected a function, found {problem}")
        elif not _accepts(found, 3):
            self.tell(
                path,
                "value",
                "expected a function of the older shape, the arguments by position and those by name",
            )

    def _look_at_call(self, path: list[Any], task: str, call: bytes) -> None:
        signature = get_signature(self.functions[task])
        args, kwargs = Serializer(codecs=("safe",), max_payload=len(call)).load_call(call)
        objection = next(shape_of(self.functions[task]).objections(args, kwargs), "")
        if objection:
            message = f"the arguments do not fit {task}{_shown(signature)}: {objection}"
            self.tell(path, "table", message, "correct args and kwargs")
            return
        places = _places(signature, args, kwargs)
        _, _, misfits = made(signature, args, kwargs)
        for misfit in misfits:
            place = misfit.parameter
            if misfit.item is not None:
                place = f"*{misfit.item}" if isinstance(misfit.item, int) else misfit.item
            self.tell([*path, *places[place], *misfit.below], "value", misfit.reason)

    def _look_at_parameter(self, path: list[Any], task: str | None, parameter: str) -> None:
        names = [task] if task is not None else list(self.functions)
        functions = [self.functions[name] for name in names if name in self.functions]
        if functions and not any(_takes(function, parameter) for function in functions):
            who = f"{task} has" if task is not None else "any task has"
            message = f"expected an argument that {who}, found {json.dumps(parameter)}"
            known = sorted({name for function in functions for name in _names(function)})
            target = "value" if path[-1] == "key" else "key"
            self.tell(path, target, message, f"arguments: {', '.join(known[:10])}" if known else "")


def _objection(function: Any) -> str:
    """Return why something is not a function that a worker can run; empty if it is."""
    if inspect.isclass(function):
        return "a class"
    if not callable(function):
        return _kind(function)
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        return "a generator"
    return ""


def _accepts(function: Callable[..., Any], count: int) -> bool:
    """Return True if it can be called with so many arguments."""
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        return False
    return True


def _kind(value: Any) -> str:
    return f"something of the type {type(value).__name__}"


def _advice(error: BaseException, name: str) -> str:
    if file := hidden(name.partition(":")[0], os.getcwd()):  # noqa: PTH109 - as a string
        return f"{file} beside the configuration has the name of a module that is needed: rename it"
    if isinstance(error, ModuleNotFoundError):
        return "modules are looked for beside the configuration, and where Python looks"
    if isinstance(error, AttributeError):
        return f"look for the name in {name.partition(':')[0]}"
    return ""


def _shown(signature: inspect.Signature) -> str:
    # Defaults of foreign classes may be long, and may hold anything.
    parameters = [
        parameter.replace(annotation=parameter.empty, default=parameter.empty)
        if parameter.default is parameter.empty
        else parameter.replace(annotation=parameter.empty, default=...)
        for parameter in signature.parameters.values()
    ]
    return str(inspect.Signature(parameters)).replace("Ellipsis", "...")


def _places(
    signature: inspect.Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> dict[str, list[Any]]:
    """Below which keys the values of parameters stand; those of ``*args`` by their number."""
    places: dict[str, list[Any]] = {name: ["kwargs", name] for name in kwargs}
    parameters = iter(signature.parameters.values())
    for index in range(len(args)):
        parameter = next(parameters)
        if parameter.kind is parameter.VAR_POSITIONAL:
            rest = range(index, len(args))
            return {**places, **{f"*{number - index}": ["args", number] for number in rest}}
        places[parameter.name] = ["args", index]
    return places


def _takes(function: Any, parameter: str) -> bool:
    parameters = get_signature(function).parameters.values()
    takes_any = any(one.kind is one.VAR_KEYWORD for one in parameters)
    return takes_any or parameter in _names(function)


def _names(function: Any) -> list[str]:
    return list(get_signature(function).parameters)


def main() -> None:
    """Probe what the standard input names, and report on the descriptor that the arguments name."""
    subject = json.loads(sys.stdin.buffer.read())
    with os.fdopen(int(sys.argv[1]), "w", encoding="utf-8") as line:

        def say(**words: Any) -> None:
            print(json.dumps(words), file=line, flush=True)

        def tell(path: list[Any], target: str, message: str, suggestion: str = "") -> None:
            say(path=path, target=target, message=message, suggestion=suggestion)

        Probe(tell, lambda name: say(begun=name)).look(subject)
        say(done=True)
    # Threads that the imported code has started must not keep the process.
    sys.stdout.flush()
    os._exit(0)
