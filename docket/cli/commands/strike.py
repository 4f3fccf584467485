"""``docket strike`` and ``docket restore``: forbids work, and allows it again."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias

import typer

from ..parameters.author import Author, Reason
from ..parameters.author import author as me
from ..parameters.completion import task_names
from ..parameters.place import Config, Name, Place, Url, visit
from ..parameters.times import duration_option
from ..parameters.typed_values import parse_compared
from ..terminal.descriptions import known_tasks, meant
from ..terminal.exit_codes import Misused
from ..terminal.output import note, say

if TYPE_CHECKING:
    from ...docket import Docket
    from ...strikelist import Rule

ANY: Final = "*"
Comparison: TypeAlias = Literal["==", "!=", ">", ">=", "<", "<=", "between"]

Function = Annotated[str, typer.Argument(help="The task; * is any.", autocompletion=task_names)]
Parameter = Annotated[str, typer.Argument(help="The parameter to look at; * strikes all calls.")]
Operator = Annotated[Comparison, typer.Argument(help="The comparison with its argument.")]
Value = Annotated[
    str | None,
    typer.Argument(
        help="The value to compare with: a string, or int:5, float:, bool:, str:, decimal:, datetime:, "
        "timedelta:, uuid:. between takes two: int:1,10"
    ),
]


@dataclass(frozen=True, slots=True)
class Typed:
    """A strike as it was typed, its value read."""

    function: str
    parameter: str
    operator: Comparison
    value: Hashable

    @classmethod
    def of(cls, function: str, parameter: str, operator: Comparison, value: str | None) -> Typed:
        """Return what was typed.

        Raises:
            Misused: it strikes nothing in particular, or the value is invalid.
        """
        # An empty string is nothing in particular, as a variable of a script that is not set.
        function, parameter = function or ANY, parameter or ANY
        if ANY == function == parameter:
            raise Misused("Must provide either a function and/or a parameter")
        return cls(function, parameter, operator, parse_compared(value, operator))

    @property
    def rule(self) -> Rule:
        """The rule that it means."""
        from ...strikelist import rule_for  # noqa: PLC0415 - --help needs none of it

        return rule_for(self.function, self.parameter, self.operator, self.value)


def strike(
    *,
    function: Function = ANY,
    parameter: Parameter = ANY,
    operator: Operator = "==",
    value: Value = None,
    docket: Name = None,
    url: Url = None,
    config: Config = None,
    reason: Reason = "",
    author: Author = None,
    lasting: Annotated[
        timedelta | None, duration_option("--for", help="The time after which it ends by itself.")
    ] = None,
    park: Annotated[
        bool, typer.Option("--park", help="Keep struck executions until the strike is over.")
    ] = False,
    delay: Annotated[
        timedelta | None,
        duration_option(
            "--delay", help="Put off struck executions by this time, until it is over."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show how many executions it would hit.")
    ] = False,
) -> None:
    """Strike out a task, or everything with such an argument, everywhere and until it is restored.

    Example: docket strike send_email customer == acme
    """
    typed = Typed.of(function, parameter, operator, value)
    if park and delay is not None:
        raise Misused("--park keeps what is struck, --delay puts it off: one of the two")

    async def work(docket: Docket) -> str:
        await _wonder(docket, typed.function)
        if dry_run:
            return await _preview(docket, typed)
        await docket.strike(
            typed.function,
            typed.parameter,
            typed.operator,
            typed.value,
            reason=reason,
            author=me(author),
            expires=lasting,
            action="park" if park else "drop" if delay is None else "delay",
            delay=delay,
        )
        return f"Struck {typed.rule.describe()} in docket {docket.name!r}"

    say(visit(Place(docket, url, config), work))


def restore(
    *,
    function: Function = ANY,
    parameter: Parameter = ANY,
    operator: Operator = "==",
    value: Value = None,
    docket: Name = None,
    url: Url = None,
    config: Config = None,
    reason: Reason = "",
    author: Author = None,
) -> None:
    """Remove a strike, typed as it was struck.

    Example: docket restore send_email customer == acme
    """
    typed = Typed.of(function, parameter, operator, value)

    async def work(docket: Docket) -> str:
        active = await docket.strikes()
        await docket.restore(
            typed.function,
            typed.parameter,
            typed.operator,
            typed.value,
            reason=reason,
            author=me(author),
        )
        if typed.rule.identity in {rule.identity for rule in active}:
            return f"Restored {typed.rule.describe()} in docket {docket.name!r}"
        others = ", ".join(rule.describe() for rule in active) or "nothing"
        return f"{typed.rule.describe()} was not struck in docket {docket.name!r}; struck are: {others}"

    say(visit(Place(docket, url, config), work))


async def _wonder(docket: Docket, function: str) -> None:
    """Note a task name that is unknown: the strike is right all the same where workers are to come."""
    known = await known_tasks(docket)
    if function not in {ANY, *known}:
        note(f"no worker knows a task {function}{meant(function, known)}")


async def _preview(docket: Docket, typed: Typed) -> str:
    hit = await docket.strike_preview(typed.function, typed.parameter, typed.operator, typed.value)
    unreadable = f"; {hit.unreadable} more have arguments that cannot be read here" * (
        hit.unreadable > 0
    )
    return (
        f"Would strike {typed.rule.describe()} in docket {docket.name!r}: {hit.scheduled} scheduled, "
        f"{hit.queued} queued, {hit.running} running (those go on){unreadable}"
    )
