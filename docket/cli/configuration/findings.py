"""Report the problems of a configuration, for ``docket config check`` and ``docket-supervisor --check``."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from ...config.checking.problems import ConfigurationInvalid, Problem
from ...config.checking.report import Format, told
from ...config.load import Chosen, Loaded, load
from ...foundation.plain import plain_lines


def checked(
    file: Path, over: Chosen, form: Format, *, is_probed: bool
) -> Loaded | ConfigurationInvalid:
    """Report the problems of a configuration.

    Arguments:
        file: the configuration.
        over: what is laid over it.
        form: the format: text goes to the standard error, everything else to the standard output.
        is_probed: whether the code is imported, in another process.
    """
    try:
        loaded = load(file, os.environ, over)
        if is_probed and (problems := _probed(loaded)):
            raise ConfigurationInvalid(problems)
    except ConfigurationInvalid as error:
        _tell(told(error.problems, form=form), form)
        return error
    _tell(told((), loaded.warnings, form), form)
    if form == "text":
        print(f"{file}: valid ({loaded.configuration.summary})")
    return loaded


def _probed(loaded: Loaded) -> tuple[Problem, ...]:
    from ...supervisor.reload.probe import probe  # noqa: PLC0415 - few ask for it

    return asyncio.run(probe(loaded))


def _tell(text: str, form: Format) -> None:
    # Programs read the standard output; output for people goes where it is in no one's way.
    print(plain_lines(text), end="", file=sys.stderr if form == "text" else sys.stdout)
