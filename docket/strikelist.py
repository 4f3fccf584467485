"""The rules that strike out bad work: what they mean, and the list that follows them as they change."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import hashlib
import json
import logging
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, ClassVar, Literal, Protocol, TypeAlias, cast

from typing_extensions import Self, override

from .calls.payloads import serializer_at
from .connection.base import Credentials
from .connection.traced import Traced
from .connection.url import connect
from .discovery import address
from .errors import ServerRefused, Undecodable
from .foundation.clock import ServerClock
from .foundation.plain import plain
from .foundation.service import end
from .foundation.units import from_milliseconds, milliseconds, to_milliseconds
from .instrumentation import telemetry
from .serialization import Serializer
from .storage.parked import UNREADABLE
from .storage.staging import is_of_a_task
from .storage.storage import Storage
from .storage.strikes import StoredRule, StrikeChange, StrikeRules

logger = logging.getLogger(__name__)


class Operator(str, enum.Enum):
    """The comparison of an argument with the value of a rule."""

    EQUAL = "=="
    NOT_EQUAL = "!="
    GREATER_THAN = ">"
    GREATER_THAN_OR_EQUAL = ">="
    LESS_THAN = "<"
    LESS_THAN_OR_EQUAL = "<="
    BETWEEN = "between"

    @classmethod
    @override
    def _missing_(cls, value: object) -> Operator:
        raise ValueError(
            f"{value!r} is not a valid Operator; expected one of {', '.join(one.value for one in cls)}"
        )


LiteralOperator: TypeAlias = Literal["==", "!=", ">", ">=", "<", "<=", "between"]

Action: TypeAlias = Literal["drop", "park", "delay"]
"""The fate of struck executions, the strongest first: cancelled, kept until the rule is no longer active,
or put off by some time, again and again until then.
"""

ACTIONS: dict[str, Action] = {"drop": "drop", "park": "park", "delay": "delay"}
_RANKS = {action: rank for rank, action in enumerate(ACTIONS)}

ANY = "*"
"""Name of every task, or of every argument."""

_COMPARISONS: dict[Operator, Callable[[Any, Any], bool]] = {
    Operator.EQUAL: lambda argument, value: argument == value,
    Operator.NOT_EQUAL: lambda argument, value: argument != value,
    Operator.GREATER_THAN: lambda argument, value: argument > value,
    Operator.GREATER_THAN_OR_EQUAL: lambda argument, value: argument >= value,
    Operator.LESS_THAN: lambda argument, value: argument < value,
    Operator.LESS_THAN_OR_EQUAL: lambda argument, value: argument <= value,
    Operator.BETWEEN: lambda argument, value: value[0] <= argument <= value[1],
}


_UNSIGNED = Serializer(codecs=("safe",))


class StrikeSubject(Protocol):
    """The subject of a rule: the task and its arguments by the names of the parameters."""

    @property
    def function_name(self) -> str:
        """The name of the task."""
        ...

    @property
    def bound_arguments(self) -> Mapping[str, Any]:
        """The arguments by the names of the parameters, defaults included."""
        ...


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison of an argument."""

    parameter: str
    operator: Operator
    value: Hashable

    def holds(self, arguments: Mapping[str, Any]) -> bool:
        """Return True if the argument is there and compares; a comparison that fails does not hold."""
        if self.parameter not in arguments:
            return False
        try:
            return bool(_COMPARISONS[self.operator](arguments[self.parameter], self.value))
        except Exception:
            logger.warning(
                "Strike on %s %s cannot compare with a %s; it does not apply",
                self.parameter,
                self.operator.value,
                type(arguments[self.parameter]).__name__,
                exc_info=True,
            )
            return False


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that strikes out a task, or everything with such arguments, or both.

    Arguments:
        task: only executions of this task; None is of any task.
        conditions: all of them must hold.
        reason: the reason, for people.
        source: the origin of the rule: a call, or the configuration.
        author: the person who made it.
        action: drop cancels what is struck; park keeps it until the rule is no longer active.
        expires: when the rule is over, by the server's clock; None is never.
        delay: the time by which struck executions are put off, if that is the action.
        since: when it became active.
    """

    task: str | None
    conditions: tuple[Condition, ...] = ()
    reason: str = ""
    source: str = "call"
    author: str = ""
    action: Action = "drop"
    expires: datetime | None = None
    delay: timedelta | None = None
    since: datetime | None = field(default=None, compare=False)

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
        """Return the labels of metrics and spans about the rule."""
        labels = {} if self.task is None else {"docket.task": self.task}
        if self.conditions:
            labels["docket.parameter"] = ", ".join(c.parameter for c in self.conditions)
            labels["docket.operator"] = ", ".join(c.operator.value for c in self.conditions)
            labels["docket.value"] = ", ".join(repr(c.value) for c in self.conditions)
        return labels

    def strikes(self, subject: StrikeSubject) -> bool:
        """Return True if the rule strikes this out."""
        if self.task is not None and self.task != subject.function_name:
            return False
        return not self.conditions or self.holds(subject.bound_arguments)

    def holds(self, arguments: Mapping[str, Any]) -> bool:
        """Return True if all conditions hold for these arguments."""
        return all(condition.holds(arguments) for condition in self.conditions)

    def describe(self) -> str:
        """Return the rule in words."""
        conditions = " and ".join(
            f"{c.parameter} {c.operator.value} {c.value!r}" for c in self.conditions
        )
        return plain(f"{self.task or ANY}({conditions})")


CONDITION = Rule(None, source="condition")
"""Stand-in for the rule of a condition of this process, which has none."""


class StrikeInstruction:
    """A rule that is to come or to go, as programs hand it around."""

    direction: ClassVar[Literal["strike", "restore"]]

    def __init__(
        self, function: str | None, parameter: str | None, operator: Operator, value: Hashable
    ) -> None:
        self.function = function
        self.parameter = parameter
        self.operator = operator
        self.value = value

    @property
    def rule(self) -> Rule:
        """The rule that it is about."""
        return rule_for(self.function, self.parameter, self.operator, self.value)

    def as_message(self, *, serializer: Serializer = _UNSIGNED) -> dict[bytes, bytes]:
        """Return the rule as fields of bytes, for programs that transport it by themselves.

        Arguments:
            serializer: encodes its value; left out, it has to be a plain one, and nothing is
                pickled.

        Raises:
            NotSerializable: the value cannot be encoded so.
        """
        message = {
            b"direction": self.direction.encode(),
            b"operator": Operator(self.operator).value.encode(),
            b"value": serializer.dump_result(self.value),
        }
        if self.function is not None:
            message[b"function"] = self.function.encode()
        if self.parameter is not None:
            message[b"parameter"] = self.parameter.encode()
        return message

    @classmethod
    def from_message(
        cls, message: dict[bytes, bytes], *, serializer: Serializer = _UNSIGNED
    ) -> StrikeInstruction:
        """Return the instruction that ``as_message`` has made these fields of.

        Arguments:
            message: the fields.
            serializer: the same as for ``as_message``; left out, nothing is unpickled.

        Raises:
            Undecodable: its value cannot be read so.
        """
        kind = Strike if message[b"direction"] == b"strike" else Restore
        function, parameter = message.get(b"function"), message.get(b"parameter")
        return kind(
            None if function is None else function.decode(),
            None if parameter is None else parameter.decode(),
            Operator(message[b"operator"].decode()),
            serializer.load_result(message[b"value"]),
        )

    def labels(self) -> Mapping[str, str]:
        """Return the labels of metrics and spans about it."""
        return self.rule.labels()

    def call_repr(self) -> str:
        """Describe it in words."""
        compared = f"{self.parameter} {Operator(self.operator).value} {self.value!r}"
        return f"{self.function or ANY}({compared if self.parameter else f'{ANY} == {ANY}'})"


class Strike(StrikeInstruction):
    """Instruction that adds a rule."""

    direction = "strike"


class Restore(StrikeInstruction):
    """Instruction that removes a rule."""

    direction = "restore"


def rule_for(
    function: str | None,
    parameter: str | None,
    operator: Operator | LiteralOperator,
    value: Hashable,
) -> Rule:
    """Return the rule that a call of ``strike`` or ``restore`` means.

    Raises:
        ValueError: there is no such operator, or neither a function nor a parameter was given.
        TypeError: the value is not hashable.
    """
    hash(value)
    function, parameter = _named(function), _named(parameter)
    if function is None and parameter is None:
        raise ValueError("Must provide either a function and/or a parameter")
    operator = Operator(operator)
    if parameter is None:
        return Rule(function)
    return Rule(function, (Condition(parameter, operator, value),))


def _named(name: str | None) -> str | None:
    return None if name in (None, "", ANY) else name


class StrikeList:
    """The active rules, kept in step with Redis while it is connected.

    Every docket has one. It also stands alone: other programs can look at the strikes of a docket, or
    keep rules of their own, for this process alone if there is no url.

    Arguments:
        url: the server; None keeps the rules in this process.
        name: the docket of these strikes, or any other name.
        enable_internal_instrumentation: show its own Redis traffic in traces.
        credential_provider: gives user and password where they rotate.
        serializer: encodes rules; left out, by the codecs and the signing keys that a docket of
            this name has here, as ``Docket(name, url)`` finds them.
        storage: the records of its docket in Redis, in place of a url.

    Example:
        >>> async with StrikeList("redis://localhost:6379/0", "orders") as strikes:
        ...     if strikes.is_stricken({"customer": "acme"}): ...
    """

    def __init__(
        self,
        url: str | None = None,
        name: str = "strikelist",
        enable_internal_instrumentation: bool = False,
        credential_provider: Credentials | None = None,
        *,
        serializer: Serializer | None = None,
        storage: Storage | None = None,
    ) -> None:
        self.url = url
        self.name = name
        self.enable_internal_instrumentation = enable_internal_instrumentation
        self._owns_storage = storage is None
        self._storage = storage
        if storage is None and url is not None:
            connection = connect(url, credential_provider=credential_provider)
            self._storage = Storage(
                Traced(connection) if enable_internal_instrumentation else connection, name
            )
        self._serializer = serializer or _serializer(name, url)
        self._stored: dict[str, Rule] = {}
        self._local: dict[str, Rule] = {}
        self._conditions: list[Callable[[Any], bool]] = []
        self._clock = ServerClock()
        self._version: str | None = None
        self._acquitted: str | None = None
        self._changes = 0
        """Number of times that this list has changed the rules."""
        self._follower: asyncio.Task[None] | None = None
        self._loaded = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def prefix(self) -> str:
        """Prefix of the key of the rules."""
        return self.name if self._storage is None else self._storage.keys.prefix

    @property
    def strike_key(self) -> str:
        """The key of the rules."""
        return f"{self.prefix}:strikes"

    @property
    def rules(self) -> Mapping[str, Rule]:
        """The active rules, by identity."""
        return {
            identity: rule
            for identity, rule in {**self._stored, **self._local}.items()
            if not self._is_over(rule)
        }

    @property
    def task_strikes(self) -> dict[str, dict[str, set[tuple[Operator, Hashable]]]]:
        """The rules for one task, by task and parameter; a task that is struck as a whole has none."""
        tasks: dict[str, dict[str, set[tuple[Operator, Hashable]]]] = {}
        for rule in self.rules.values():
            if rule.task is not None:
                _collect(tasks.setdefault(rule.task, {}), rule)
        for identity in self.rules:
            if identity.startswith("task:"):
                tasks[identity.removeprefix("task:")] = {}
        return tasks

    @property
    def parameter_strikes(self) -> dict[str, set[tuple[Operator, Hashable]]]:
        """The rules for any task, by parameter."""
        parameters: dict[str, set[tuple[Operator, Hashable]]] = {}
        for rule in self.rules.values():
            if rule.task is None:
                _collect(parameters, rule)
        return parameters

    @property
    def version(self) -> str | None:
        """The version of the rules that is known here; None before they were read."""
        return self._version

    def add_condition(self, condition: Callable[[Any], bool]) -> None:
        """Strike out, in this process only, everything for which this function returns True."""
        self._conditions.append(condition)

    def remove_condition(self, condition: Callable[[Any], bool]) -> None:
        """Undo ``add_condition``."""
        self._conditions.remove(condition)

    def is_stricken(self, target: Any) -> bool:
        """Return True if something is struck out.

        Arguments:
            target: an execution, or a mapping of arguments by the names of their parameters, to which
                only the rules for any task apply.
        """
        if not isinstance(target, Mapping):
            return self.find(target) is not None
        arguments = cast(Mapping[str, Any], target)
        return any(rule.task is None and rule.holds(arguments) for rule in self.rules.values())

    def meets_condition(self, target: StrikeSubject) -> bool:
        """Return True if a condition of this process strikes an execution out."""
        return any(condition(target) for condition in self._conditions)

    def find(self, target: StrikeSubject) -> Rule | None:
        """Return the rule that strikes an execution out, of several the strongest."""
        if self.meets_condition(target):
            return CONDITION
        if not self._stored and not self._local:
            return None
        found: Rule | None = None
        arguments: Mapping[str, Any] | None = None
        for rule in self.rules.values():
            if rule.task not in (None, target.function_name):
                continue
            if rule.conditions:
                arguments = target.bound_arguments if arguments is None else arguments
                if not rule.holds(arguments):
                    continue
            if found is None or _RANKS[rule.action] < _RANKS[found.action]:
                found = rule
        return found

    async def strike(
        self,
        function: str | None = None,
        parameter: str | None = None,
        operator: Operator | LiteralOperator = "==",
        value: Hashable | None = None,
    ) -> None:
        """Add a rule everywhere.

        Arguments:
            function: the name of the task; None is any.
            parameter: the parameter to look at; None strikes the whole task.
            operator: the comparison with its argument.
            value: the value to compare with.

        Raises:
            RuntimeError: the list is not connected.
            ValueError: there is no such operator, or neither a function nor a parameter was given.
            TypeError: the value is not hashable.
        """
        await self.impose(rule_for(function, parameter, operator, value))

    async def restore(
        self,
        function: str | None = None,
        parameter: str | None = None,
        operator: Operator | LiteralOperator = "==",
        value: Hashable | None = None,
    ) -> None:
        """Remove a rule everywhere, given as it was struck; one that is not active is not an error."""
        await self.lift(rule_for(function, parameter, operator, value))

    async def send_instruction(self, instruction: StrikeInstruction) -> None:
        """Carry out an instruction everywhere.

        Raises:
            RuntimeError: the list is not connected.
        """
        if instruction.direction == "strike":
            await self.impose(instruction.rule)
        else:
            await self.lift(instruction.rule)

    def update(self, instruction: StrikeInstruction) -> None:
        """Carry out an instruction in this process only."""
        rule = instruction.rule
        if instruction.direction == "strike":
            self._local[rule.identity] = rule
        else:
            self._local.pop(rule.identity, None)
            self._stored.pop(rule.identity, None)

    async def impose(self, rule: Rule, *, lasting: timedelta | None = None) -> None:
        """Add a rule everywhere.

        Arguments:
            rule: the rule; one that strikes the same is replaced.
            lasting: how long it is active, by the server's clock, in place of its ``expires``.
        """
        change = await self._connected().change(
            "strike",
            rule.identity,
            self.written(rule),
            action=rule.action,
            ends=0 if rule.expires is None else to_milliseconds(rule.expires),
            lasts=0 if lasting is None else max(1, milliseconds(lasting)),
        )
        told = replace(rule, expires=_moment(change.ends), since=_moment(change.since))
        await self._follow_change(change, {**self._stored, rule.identity: told})

    async def lift(self, rule: Rule) -> None:
        """Remove a rule everywhere, and put back what it has parked."""
        change = await self._connected().change("restore", rule.identity)
        left = {name: one for name, one in self._stored.items() if name != rule.identity}
        await self._follow_change(change, left)
        await self.acquit()

    async def connect(self, *, is_reached: bool = True) -> None:
        """Load the rules and follow them from now on; without a url there is nothing to do.

        Arguments:
            is_reached: whether the server answers; if not, the rules are loaded as soon as it does.
        """
        if self._storage is None:
            return
        assert self._follower is None, "StrikeList is not reentrant"
        try:
            if self._owns_storage:
                is_reached = await self._storage.open(lazy=True)
            if is_reached:
                await self.refresh()
        except BaseException:
            await self._leave()
            raise
        self._follower = asyncio.create_task(self._follow(self._storage), name="docket strikes")

    async def close(self) -> None:
        """Follow no longer; the rules stay as they are. Safe to call twice."""
        if self._follower is not None:
            await end(self._follower)
            self._follower = None
            await self._leave()
        self._loaded.clear()

    async def wait_for_strikes_loaded(self) -> None:
        """Wait until the rules are known; without a url they are.

        Raises:
            RuntimeError: the list is not connected.
        """
        if self._storage is not None:
            self._connected()
            await self._until_loaded()

    async def _until_loaded(self) -> None:
        if self._loaded.is_set() or self._follower is None:
            return
        loading = asyncio.ensure_future(self._loaded.wait())
        try:
            await asyncio.wait({loading, self._follower}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            loading.cancel()
        if not self._loaded.is_set():
            # No one follows any longer, as the server was found to be the wrong one.
            self._follower.result()

    async def refresh(self) -> None:
        """Read the rules again."""
        while True:
            changes = self._changes
            stored = await self._store().read()
            # What was read before a change of our own must not undo it.
            if changes == self._changes:
                break
        self._clock.set(stored.now)
        self._follow_rules(dict(self._readable(stored.rules)))
        self._version = stored.version
        self._loaded.set()
        if any(0 < one.ends <= stored.now for one in stored.rules.values()):
            await self._expire()

    async def catch_up(self) -> None:
        """Read the rules again if they have changed, as their news may have been lost; release what
        was parked by rules that are gone."""
        if await self._connected().version() != self._version:
            await self.refresh()
        if self._acquitted != self._version:
            try:
                await self.acquit()
            except ServerRefused as error:
                # Odd parked work is no reason for a periodic look to end.
                logger.error("What strikes have parked cannot be looked at: %s", error)

    async def acquit(self) -> None:
        """Put back what rules have parked that are no longer active."""
        version = self._version
        done = await self._store().acquit()
        for key, task in done.released:
            logger.info("Released %s{%s}: its strike is over", plain(task), plain(key))
        for key in done.unreadable:
            logger.error(UNREADABLE, plain(key))
        self._acquitted = version

    def _is_over(self, rule: Rule) -> bool:
        return rule.expires is not None and to_milliseconds(rule.expires) <= self._clock.now()

    async def _expire(self) -> None:
        """Remove expired rules; the first of all followers also releases what was parked."""
        try:
            change = await self._store().change("expire")
        except ServerRefused:
            # Who may only read leaves it to others: what is over has no effect anyway.
            return
        if change.over:
            await self._follow_change(change, self._stored)
            await self.acquit()

    async def _follow_change(self, change: StrikeChange, rules: dict[str, Rule]) -> None:
        """Follow these rules from now on, unless they have been changed elsewhere in between, too."""
        self._changes += 1
        self._follow_rules(rules)
        if change.before == self._version:
            self._version = change.version
        else:
            await self.refresh()

    def _follow_rules(self, rules: dict[str, Rule]) -> None:
        """Follow these rules from now on."""
        rules = {identity: rule for identity, rule in rules.items() if not self._is_over(rule)}
        before, self._stored = self._stored, rules
        ended = [before[name].labels() for name in before.keys() - rules.keys()]
        begun = [rules[name].labels() for name in rules.keys() - before.keys()]
        telemetry.strikes_changed(self.name, ended, begun)

    def _store(self) -> StrikeRules:
        assert self._storage is not None
        return self._storage.strikes

    def _connected(self) -> StrikeRules:
        if self._follower is None and not self._loaded.is_set():
            raise RuntimeError(
                "the strike list is not connected; use it inside `async with Docket()`, or inside "
                "`async with StrikeList(url)`"
            )
        return self._store()

    async def _leave(self) -> None:
        if self._owns_storage and self._storage is not None:
            await self._storage.close()

    async def _follow(self, storage: Storage) -> None:
        async with storage.subscriptions.listen(storage.keys.strikes) as listener:
            while True:
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(listener.next(), self._until_next_end())
                with contextlib.suppress(ConnectionError):
                    await self.refresh()

    def _until_next_end(self) -> float | None:
        """Return the seconds until the next rule ends; None if none ever does."""
        ends = [to_milliseconds(rule.expires) for rule in self._stored.values() if rule.expires]
        return max(0.02, (min(ends) - self._clock.now()) / 1000) if ends else None

    def written(self, rule: Rule) -> bytes:
        """Return a rule as it is stored.

        Rules on arguments are signed where keys are set. A rule for a whole task is not: the scripts apply
        it, which know no keys.
        """
        conditions = [(c.parameter, c.operator.value, c.value) for c in rule.conditions]
        serializer = self._serializer if rule.conditions else _UNSIGNED
        return serializer.dump_result(
            (rule.task, conditions, rule.reason, rule.source, rule.author, rule.delay),
            context=(rule.identity, rule.action),
        )

    def read(self, stored: Mapping[str, StoredRule]) -> dict[str, Rule]:
        """Return the stored rules that can be read, by identity.

        Arguments:
            stored: the rules as Redis holds them, by identity.
        """
        return dict(self._readable(stored))

    def _readable(self, stored: Mapping[str, StoredRule]) -> Iterator[tuple[str, Rule]]:
        """Yield the rules that can be read; one that cannot must not take the others with it."""
        for identity, one in stored.items():
            try:
                yield identity, self._load(identity, one)
            except (Undecodable, ValueError, TypeError) as error:
                logger.error(
                    "The strike %s cannot be read and does not apply: %s", plain(identity), error
                )

    def _load(self, identity: str, stored: StoredRule) -> Rule:
        serializer = _UNSIGNED if is_of_a_task(identity) else self._serializer
        told = serializer.load_result(stored.rule, context=(identity, stored.action))
        task, conditions, reason, source, author, delay = told
        rule = Rule(
            task,
            tuple(Condition(name, Operator(word), value) for name, word, value in conditions),
            reason,
            source,
            author,
            ACTIONS.get(stored.action, "drop"),
            _moment(stored.ends),
            delay,
            _moment(stored.since),
        )
        if is_of_a_task(identity) and rule.identity != identity:
            # It is not signed: it may say no more than the scripts know by its name.
            raise Undecodable(f"expected a strike of a whole task, found that of {rule.describe()}")
        return rule


def _serializer(name: str, url: str | None) -> Serializer:
    """Return the serializer of rules; those of this process alone are never encoded."""
    return _UNSIGNED if url is None else serializer_at(address.find(name, url))


def _collect(parameters: dict[str, set[tuple[Operator, Hashable]]], rule: Rule) -> None:
    for one in rule.conditions:
        parameters.setdefault(one.parameter, set()).add((one.operator, one.value))


def _moment(milliseconds: int) -> datetime | None:
    return from_milliseconds(milliseconds) if milliseconds else None
