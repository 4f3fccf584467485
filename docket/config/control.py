"""The place of the control socket, even while the configuration cannot be used: that is when it is needed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

import tomli

from ..errors import ConfigurationError
from .load import NOTHING, Chosen, load
from .tables.supervisor import SupervisorTable

_VARIABLE: Final = "DOCKET_SUPERVISOR__CONTROL"


def control_of(
    path: Path, environ: Mapping[str, str] = os.environ, chosen: Chosen = NOTHING
) -> str:
    """Return ``supervisor.control``, as far as it can be read.

    Arguments:
        path: the file.
        environ: the environment, which overrides the file.
        chosen: what the command line chose beside the file.

    Example:
        >>> control_of(Path("docket.toml"))
        '.docket/control.sock'
    """
    try:
        return load(path, environ, chosen).configuration.supervisor.control
    except ConfigurationError:
        written = environ.get(_VARIABLE) or _written(path)
        return written or SupervisorTable().control


def _written(path: Path) -> str | None:
    try:
        table = tomli.loads(path.read_text("utf-8-sig")).get("supervisor")
    except (OSError, ValueError):
        return None
    control = cast(dict[str, Any], table).get("control") if isinstance(table, dict) else None
    return control if isinstance(control, str) else None
