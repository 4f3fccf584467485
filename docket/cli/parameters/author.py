"""The person who gives a command, unless another one is named."""

from __future__ import annotations

import getpass
import os


def author() -> str:
    """Return the user's name, or the number that a container without a list of users knows instead."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # OSError from Python 3.13 on
        return f"uid {os.getuid()}"
