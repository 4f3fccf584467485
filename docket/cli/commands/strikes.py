"""``docket strikes``: what is forbidden."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import typer

from ...foundation.durations import format_duration
from ..parameters.place import Config, Name, Place, Url, visit
from ..terminal.descriptions import text, when, wide
from ..terminal.output import Column, Form, Item, Output, show

if TYPE_CHECKING:
    from ...strikelist import Rule


def _action(item: Item) -> str:
    return f"{item['action']} {item['delay']}" if item["delay"] else item["action"]


RULES: Final = (
    text("struck"),
    Column("ACTION", _action),
    text("reason"),
    text("author"),
    when("since"),
    when("expires", "ENDS"),
    wide("source"),
)

app = typer.Typer(
    help="List the active strikes.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback()
def strikes() -> None:
    """List the active strikes; strike and restore add and remove them."""


@app.command("ls")
def list_strikes(
    *, docket: Name = None, url: Url = None, config: Config = None, output: Output = Form.TABLE
) -> None:
    """List the active strikes, the oldest first."""
    rules = visit(Place(docket, url, config), lambda docket: docket.strikes())
    show("strikes", [_of_rule(rule) for rule in rules], RULES, output)


def _of_rule(rule: Rule) -> dict[str, Any]:
    return {
        "struck": rule.describe(),
        "task": rule.task,
        "conditions": [
            {"parameter": one.parameter, "operator": one.operator.value, "value": repr(one.value)}
            for one in rule.conditions
        ],
        "action": rule.action,
        "delay": None if rule.delay is None else format_duration(rule.delay),
        "reason": rule.reason,
        "author": rule.author,
        "since": rule.since,
        "expires": rule.expires,
        "source": rule.source,
    }
