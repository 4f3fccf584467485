"""[[strikes]]."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, cast

from pydantic import ConfigDict, Field, model_validator
from typing_extensions import Self

from ..kinds import Moment, Name, PositiveDuration, at, expected
from ..planning.meaning import digest
from .base import Table, with_keys

Comparison: TypeAlias = Literal["==", "!=", ">", ">=", "<", "<=", "between"]


class ConditionTable(Table):
    """One comparison of an argument."""

    op: Comparison = Field(description="The comparison of the argument with the value.")
    value: Any = Field(description="The value to compare with; two bounds in an array for between.")

    @model_validator(mode="after")
    def value_fits_op(self) -> Self:
        """Refuse a value that the comparison cannot work with."""
        if self.op == "between":
            if not _are_bounds(self.value):
                raise at(
                    "value", self.value, "expected the lower and the upper bound, as in [10, 20]"
                )
        elif not _is_single(self.value):
            raise at(
                "value",
                cast(object, self.value),
                "expected a single value; only between takes an array",
            )
        return self


def _is_single(value: Any) -> bool:
    return not isinstance(value, (list, dict))


def _are_bounds(value: Any) -> bool:
    if not isinstance(value, list):
        return False
    bounds = cast(list[Any], value)
    if len(bounds) != 2:
        return False
    try:
        return bool(bounds[0] <= bounds[1])
    except TypeError:
        return False


def strike_identity(id_: Any, task: Any, when: Any) -> str:
    """Return the id of a strike, or without one a name that is the same wherever the content is the same."""
    return str(id_) if id_ is not None else f"strike-{digest([task, when])[:12]}"


class StrikeTable(Table):
    """[[strikes]]: what is struck out instead of being run."""

    model_config = ConfigDict(json_schema_extra=with_keys("anyOf", "task", "when"))

    id: Name | None = Field(
        default=None, description="Its name; left out, it is made from the content."
    )
    task: Name | None = Field(
        default=None, description="Only executions of this task; left out, of any task."
    )
    when: dict[Name, ConditionTable] = Field(
        default={}, description="Comparisons by the name of the argument; all of them must hold."
    )
    action: Literal["drop", "park", "delay"] = Field(
        default="drop",
        description="Cancel struck executions, keep them until the strike is over, or put them off by delay.",
    )
    delay: PositiveDuration | None = Field(
        default=None,
        description="The time by which an execution is put off, again and again until the strike is over.",
    )
    reason: str = Field(default="", description="The reason, for people.")
    expires: Moment | None = Field(
        default=None, description="The moment at which it ends; left out, never."
    )

    @property
    def identity(self) -> str:
        """The id, or a name that is made from the content."""
        return strike_identity(self.id, self.task, self.model_dump()["when"])

    @model_validator(mode="after")
    def only_a_delay_has_a_length(self) -> Self:
        """Refuse a delay that is not known, or that nothing looks at."""
        if self.action == "delay" and self.delay is None:
            raise at("action", self.action, 'expected delay beside it, such as delay = "15m"')
        if self.action != "delay" and self.delay is not None:
            raise at("delay", self.delay, 'only action = "delay" has a delay')
        return self

    @model_validator(mode="after")
    def strikes_something_particular(self) -> Self:
        """Refuse a strike that would strike out everything."""
        if self.task is None and not self.when:
            raise expected("expected task, when, or both, found neither")
        return self
