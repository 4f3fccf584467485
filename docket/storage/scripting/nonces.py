"""Nonces: names that distinguish one call from every other one, however often it is sent."""

from __future__ import annotations

import os
import secrets
from itertools import count

FRESH = "*"
"""The nonce of a key that was made for one call only: a call that finds it there has found itself."""

_numbers = count()


class _Process:
    """This process under a name of its own: chance is asked once, and a fork is another process."""

    name = ""

    def begin(self) -> None:
        """Take a name that no other process has."""
        self.name = secrets.token_urlsafe(9)


_process = _Process()
_process.begin()
os.register_at_fork(after_in_child=_process.begin)


def new_nonce() -> str:
    """Return a nonce that no other call has: printable, and without what the scripts begin their own with."""
    return f"{_process.name}.{next(_numbers)}"
