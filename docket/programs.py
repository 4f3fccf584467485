"""The start of the programs: before any slow import, a signal finds its answer.

``docket`` and ``docket-supervisor`` start here.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

STREAMS = ("stdin", "stdout", "stderr")
"""The standard streams, each at the place of its descriptor."""


def docket() -> None:
    """Run ``docket``."""
    _run(_docket)


def supervisor() -> None:
    """Run ``docket-supervisor``."""
    # A reload that is asked for now comes by itself: the file has not been read yet.
    signal.signal(signal.SIGHUP, _do_nothing)
    _run(_supervisor)


def _do_nothing(number: int, frame: FrameType | None) -> None:
    del number, frame


def _docket() -> None:
    from .cli import main  # noqa: PLC0415

    main()


def _supervisor() -> None:
    from .cli.commands.supervisor import main  # noqa: PLC0415

    main()


def _run(main: Callable[[], None]) -> None:
    """Run a program; interrupting it is not an error."""
    complete_streams()
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit(128 + signal.SIGINT) from None


def complete_streams() -> None:
    """Open all standard streams that the program was started without.

    Otherwise the first socket that is opened would stand in their place, and error messages would be
    written to it.
    """
    for number, name in enumerate(STREAMS):
        if getattr(sys, name) is None:
            _stand_in(number)
            stream = Path(os.devnull).open("w" if number else "r", encoding="utf-8")  # noqa: SIM115
            setattr(sys, name, stream)


def _stand_in(number: int) -> None:
    """Put the null device at the place of a standard stream, for the programs that are started from here."""
    nothing = os.open(os.devnull, os.O_RDWR)
    if nothing == number:
        os.set_inheritable(number, True)
    else:
        os.dup2(nothing, number)
        os.close(nothing)
