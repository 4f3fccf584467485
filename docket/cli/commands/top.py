"""``docket top``: a docket live, on one screen."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Generator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final

from ..parameters.place import Config, Name, Place, Url, visit
from ..parameters.times import duration_option
from ..terminal.descriptions import text, when
from ..terminal.glances import QUEUES, TASKS, WORKERS, of_glance, told_of_glance
from ..terminal.output import Column, Form, Item, Output, say, show, show_one

if TYPE_CHECKING:
    from ...docket import Docket
    from ...insights.glance import Glance

REDRAW: Final = "\x1b[2J\x1b[H"
"""Sequence that clears a terminal."""

HEADS: Final = 12
"""Lines of a screen that are no rows of a table."""

TABLES: Final = 4

SCHEDULES: Final = (text("schedule"), when("due"))


def top(
    *,
    every: Annotated[
        timedelta, duration_option("--every", help="Time between two looks.", show_default="1s")
    ] = timedelta(seconds=1),
    docket: Name = None,
    url: Url = None,
    config: Config = None,
    output: Output = Form.TABLE,
) -> None:
    """Show queues, what ends, workers and next schedules, live; q ends it. Without a terminal it looks once.

    Example: docket top --every 5s
    """
    is_live = output in (Form.TABLE, Form.WIDE) and sys.stdout.isatty()

    async def look(docket: Docket) -> None:
        _show(await docket.insights.glance(), output, None)

    async def live(docket: Docket) -> None:
        stop = asyncio.Event()
        with _ended_by_hand(stop):
            while not stop.is_set():
                await _redraw(docket, output)
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(stop.wait(), every.total_seconds())

    visit(Place(docket, url, config), live if is_live else look)


async def _redraw(docket: Docket, form: Form) -> None:
    glance = await docket.insights.glance()
    sys.stdout.write(REDRAW)
    _show(glance, form, max(2, (shutil.get_terminal_size().lines - HEADS) // TABLES))


def _show(glance: Glance, form: Form, most: int | None) -> None:
    """Print all of it, so many rows of each table at most."""
    item = of_glance(glance)
    if form in (Form.JSON, Form.JSONL):
        show_one("glance", item, form)
        return
    say(told_of_glance(glance))
    for name, columns in (
        ("queues", QUEUES),
        ("tasks", TASKS),
        ("workers", WORKERS),
        ("schedules", SCHEDULES),
    ):
        _show_table(name, item[name], columns, form, most)


def _show_table(
    kind: str, rows: Sequence[Item], columns: Sequence[Column], form: Form, most: int | None
) -> None:
    if not rows:
        return
    say("")
    show(kind, rows[:most], columns, form)
    if most is not None and len(rows) > most:
        say(f"and {len(rows) - most} more {kind}")


@contextlib.contextmanager
def _ended_by_hand(stop: asyncio.Event) -> Generator[None, None, None]:
    """Have Ctrl-C and the key q set an event for the length of a block; keys are read as they are typed."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, stop.set)
    try:
        with _keys(loop, stop) if sys.stdin.isatty() else contextlib.nullcontext():
            yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)


@contextlib.contextmanager
def _keys(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> Generator[None, None, None]:
    import termios  # noqa: PLC0415 - --help needs none of it
    import tty  # noqa: PLC0415

    keyboard = sys.stdin.fileno()
    before: list[Any] = termios.tcgetattr(keyboard)
    tty.setcbreak(keyboard, termios.TCSANOW)

    def read() -> None:
        if b"q" in os.read(keyboard, 16).lower():
            stop.set()

    loop.add_reader(keyboard, read)
    try:
        yield
    finally:
        loop.remove_reader(keyboard)
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)
