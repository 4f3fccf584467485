"""Variables of a worker that a command gets: where it is and whom it serves, but no secrets."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Mapping

ALWAYS = (
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "TERM",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "TZ",
    "TMPDIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "LD_LIBRARY_PATH",
)
"""Variables that every command gets, if the worker has them."""


def allowed(environment: Mapping[str, str], more: Collection[str] = ()) -> dict[str, str]:
    """Return what a command gets of an environment.

    Arguments:
        environment: the worker's.
        more: names of variables beside ``ALWAYS``; ``PG*`` stands for all that begin so.
    """
    patterns = (*ALWAYS, *more)
    return {
        name: value
        for name, value in environment.items()
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
    }
