"""Strikes as explanations tell of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from ..plain import plain
from ..strikelist import Rule
from .explanation import word

_TYPES: Final[Mapping[type, str]] = {str: "str", int: "int", float: "float", bool: "bool"}
"""What the values of rules are called on the command line."""


def in_force(rule: Rule, now: datetime) -> bool:
    """Whether a rule is not over."""
    return rule.expires is None or rule.expires > now


def named_rule(rule: Rule | None) -> str:
    """A rule, who made it and why."""
    if rule is None:
        return "a strike that cannot be read here"
    by = f" by {plain(rule.author)}" if rule.author else ""
    return f"the strike {rule.describe()}{by}" + (f" ({plain(rule.reason)})" if rule.reason else "")


def restoring(rule: Rule | None) -> str:
    """The command that takes a rule back."""
    if rule is None:
        return "`docket strikes ls` lists the strikes; docket restore"
    if not rule.conditions:
        return f"`docket restore {word(rule.task or '*')}`"
    one = rule.conditions[0]
    if len(rule.conditions) > 1 or type(one.value) not in _TYPES:
        return "`docket strikes ls` shows how it was struck; docket restore, typed so,"
    value = word(f"{_TYPES[type(one.value)]}:{one.value}")
    words = (word(rule.task or "*"), word(one.parameter), word(one.operator.value), value)
    return f"`docket restore {' '.join(words)}`"
