"""Strikes as explanations tell of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from ..foundation.plain import plain
from ..strikelist import Rule
from .explanation import word

_TYPES: Final[Mapping[type, str]] = {str: "str", int: "int", float: "float", bool: "bool"}
"""Names of the types of values on the command line."""


def is_active(rule: Rule, now: datetime) -> bool:
    """Return True if a rule is not over."""
    return rule.expires is None or rule.expires > now


def named_rule(rule: Rule | None) -> str:
    """Return a rule, its author and its reason."""
    if rule is None:
        return "a strike that cannot be read here"
    by = f" by {plain(rule.author)}" if rule.author else ""
    return f"the strike {rule.describe()}{by}" + (f" ({plain(rule.reason)})" if rule.reason else "")


def restoring(rule: Rule | None) -> str:
    """Return the command that removes a rule."""
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
