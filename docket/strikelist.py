"""The rules that strike out bad work: what they mean, and the list that follows them as they change."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import hashlib
import json
import logging
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from .errors import Undecodable
from .instrumentation import telemetry
from .serialization import Serializer
from .service import end
from .storage.storage import Storage
from .storage.strikes import StrikeRules

logger = logging.getLogger(__name__)


class Operator(str, enum.Enum):
    """How an argument is compared with the value of a rule."""

    EQUAL = "=="
    NOT_EQUAL = "!="
    GREATER_THAN = ">"
    GREATER_THAN_OR_EQUAL = ">="
    LESS_THAN = "<"
    LESS_THAN_OR_EQUAL = "<="
    BETWEEN = "between"


LiteralOperator: TypeAlias = Literal["==", "!=", ">", ">=", "<", "<=", "between"]

_COMPARISONS: dict[Operator, Callable[[Any, Any], bool]] = {
    Operator.EQUAL: lambda argument, value: argument == value,
    Operator.NOT_EQUAL: lambda argument, value: argument != value,
    Operator.GREATER_THAN: lambda argument, value: argument > value,
    Operator.GREATER_THAN_OR_EQUAL: lambda argument, value: argument >= value,
    Operator.LESS_THAN: lambda argument, value: argument < value,
    Operator.LESS_THAN_OR_EQUAL: lambda argument, value: argument <= value,
    Operator.BETWEEN: lambda argument, value: value[0] <= argument <= value[1],
}


class Subject(Protocol):
    """What a rule looks at: the task and its arguments by the names of the parameters."""

    @property
    def function_name(self) -> str:
        """The name of the task."""
        ...

    @property
    def arguments(self) -> Mapping[str, Any]:
        """The arguments that were given, by the names of the parameters."""
        ...


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison of an argument."""

    parameter: str
    operator: Operator
    value: Hashable

    def holds(self, arguments: Mapping[str, Any]) -> bool:
        """Whether the argument is given and compares; a comparison that fails does not hold."""
        if self.parameter not in arguments:
            return False
        try:
            return bool(_COMPARISONS[self.operator](arguments[self.parameter], self.value))
        except Exception:
            logger.warning(
                "Strike on %s %s can not compare with a %s; it does not apply",
                self.parameter,
                self.operator.value,
                type(arguments[self.parameter]).__name__,
                exc_info=True,
            )
            return False


@dataclass(frozen=True, slots=True)
class Rule:
    """What is struck out: a task, or whatever has such arguments, or both.

    Arguments:
        task: only executions of this task; None is of any task.
        conditions: all of them must hold.
        reason: why, for those who wonder.
        source: who made the rule: a call, or the configuration.
    """

    task: str | None
    conditions: tuple[Condition, ...] = ()
    reason: str = ""
    source: str = "call"

    @property
    def identity(self) -> str:
        """The name of the rule in Redis; rules that strike the same are the same.

        A rule for a whole task has a name that the scripts know how to look for.
        """
        if self.task is not None and not self.conditions:
            return f"task:{self.task}"
        text = json.dumps(
            [self.task, *((c.parameter, c.operator.value, repr(c.value)) for c in self.conditions)]
        )
        return f"rule:{hashlib.sha256(text.encode()).hexdigest()[:24]}"

    def labels(self) -> dict[str, str]:
        """What metrics and spans about the rule are labelled with."""
        labels = {} if self.task is None else {"docket.task": self.task}
        if self.conditions:
            labels["docket.parameter"] = ", ".join(c.parameter for c in self.conditions)
            labels["docket.operator"] = ", ".join(c.operator.value for c in self.conditions)
            labels["docket.value"] = ", ".join(repr(c.value) for c in self.conditions)
        return labels

    def strikes(self, subject: Subject) -> bool:
        """Whether the rule strikes this out."""
        if self.task is not None and self.task != subject.function_name:
            return False
        return all(condition.holds(subject.arguments) for condition in self.conditions)

    def describe(self) -> str:
        """The rule in words."""
        conditions = " and ".join(
            f"{c.parameter} {c.operator.value} {c.value!r}" for c in self.conditions
        )
        return f"{self.task or '*'}({conditions})"


def rule_for(
    function: str | None,
    parameter: str | None,
    operator: Operator | LiteralOperator,
    value: Hashable,
) -> Rule:
    """The rule that a call of ``strike`` or ``restore`` means.

    Raises:
        ValueError: there is no such operator, or neither a function nor a parameter was given.
        TypeError: the value is not hashable.
    """
    hash(value)
    if function is None and parameter is None:
        raise ValueError("Must provide either a function and/or a parameter")
    if parameter is None:
        return Rule(function)
    return Rule(function, (Condition(parameter, Operator(operator), value),))


class StrikeList:
    """The rules in force, kept in step with Redis while it is connected."""

    def __init__(self, serializer: Serializer | None = None) -> None:
        self._serializer = serializer or Serializer()
        self._rules: dict[str, Rule] = {}
        self._conditions: list[Callable[[Any], bool]] = []
        self._version = -1
        self._store: StrikeRules | None = None
        self._follower: asyncio.Task[None] | None = None
        self._loaded = asyncio.Event()
        self._name = ""

    @property
    def rules(self) -> Mapping[str, Rule]:
        """The rules in force, by identity."""
        return self._rules

    @property
    def version(self) -> int:
        """The version of the rules that is known here."""
        return self._version

    def add_condition(self, condition: Callable[[Any], bool]) -> None:
        """Strike out, in this process only, whatever this function says yes to."""
        self._conditions.append(condition)

    def remove_condition(self, condition: Callable[[Any], bool]) -> None:
        """Take back ``add_condition``."""
        self._conditions.remove(condition)

    def is_stricken(self, target: Any) -> bool:
        """Whether a rule or a condition strikes this execution out."""
        if not self._rules and not self._conditions:
            return False
        return any(rule.strikes(target) for rule in self._rules.values()) or any(
            condition(target) for condition in self._conditions
        )

    async def strike(self, rule: Rule) -> None:
        """Put a rule in force everywhere."""
        data = self._dump(rule)
        self._version = await self._connected().change("strike", rule.identity, data)
        self._follow_rules({**self._rules, rule.identity: rule})

    async def restore(self, rule: Rule) -> None:
        """Take a rule out of force everywhere; one that is not in force is no error."""
        self._version = await self._connected().change("restore", rule.identity)
        left = {name: one for name, one in self._rules.items() if name != rule.identity}
        self._follow_rules(left)

    async def connect(self, storage: Storage) -> None:
        """Load the rules and follow them from now on."""
        await self.load_from(storage)
        self._follower = asyncio.create_task(self._follow(storage), name="docket strikes")

    async def load_from(self, storage: Storage) -> None:
        """Load the rules; changes are made there, but not followed."""
        self._store = storage.strikes
        self._name = storage.name
        await self.refresh()

    async def disconnect(self) -> None:
        """Follow no longer; the rules stay as they are."""
        if self._follower is not None:
            await end(self._follower)
        self._follower = self._store = None
        self._loaded.clear()

    async def wait_for_strikes_loaded(self) -> None:
        """Wait until the rules are known.

        Raises:
            RuntimeError: the list is not connected.
        """
        self._connected()
        await self._loaded.wait()

    async def refresh(self) -> None:
        """Read the rules again."""
        version, stored = await self._connected().read()
        # What was read before a change of our own must not undo it. Zero is a server that was emptied.
        if 0 < version < self._version:
            return
        self._follow_rules(dict(self._readable(stored)))
        self._version = version
        self._loaded.set()

    async def catch_up(self) -> None:
        """Read the rules again if they have changed: their news may have been lost."""
        if await self._connected().version() != self._version:
            await self.refresh()

    def _follow_rules(self, rules: dict[str, Rule]) -> None:
        """These rules are in force from now on."""
        before, self._rules = self._rules, rules
        ended = [before[name].labels() for name in before.keys() - rules.keys()]
        begun = [rules[name].labels() for name in rules.keys() - before.keys()]
        telemetry.strikes_changed(self._name, ended, begun)

    def _connected(self) -> StrikeRules:
        if self._store is None:
            raise RuntimeError(
                "the strike list is not connected; use it inside `async with Docket()`"
            )
        return self._store

    async def _follow(self, storage: Storage) -> None:
        async with storage.subscriptions.listen(storage.keys.strikes) as listener:
            while True:
                await listener.next()
                with contextlib.suppress(ConnectionError):
                    await self.refresh()

    def _dump(self, rule: Rule) -> bytes:
        conditions = [(c.parameter, c.operator.value, c.value) for c in rule.conditions]
        return self._serializer.dump_result((rule.task, conditions, rule.reason, rule.source))

    def _readable(self, stored: Mapping[str, bytes]) -> Iterator[tuple[str, Rule]]:
        """The rules that can be read; one that can not must not take the others with it."""
        for identity, data in stored.items():
            try:
                yield identity, self._load(data)
            except Undecodable as error:
                logger.error(
                    "The strike %s can not be read and does not apply: %s", identity, error
                )

    def _load(self, data: bytes) -> Rule:
        task, conditions, reason, source = self._serializer.load_result(data)
        return Rule(
            task,
            tuple(Condition(name, Operator(word), value) for name, word, value in conditions),
            reason,
            source,
        )
