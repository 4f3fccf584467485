"""Requests to a supervisor: one JSON object per line over its control socket, both ways.

A request is ``{"version": 1, "ask": WORD, ...}``. Its answer is ``{"version": 1, "answer": {...}}``, or
``{"version": 1, "error": {"kind": KIND, "message": TEXT}}``, where the kind is ``misunderstood``,
``refused`` or ``failed``. Within a version only fields and words are added.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import stat
import tempfile
from pathlib import Path
from typing import Any, Final

from ...errors import CallerError, OperatorError

VERSION: Final = 1
"""Version of the language on the socket."""

LONGEST: Final = 100
"""Bytes of a socket's path; the kernel's limit is 108 on Linux and 104 on macOS."""


NAME: Final = "control.sock"
"""Name of a socket that is elsewhere."""


class NobodyAnswers(OperatorError):
    """No supervisor listens there."""


class NotInTime(OperatorError):
    """The supervisor has not answered in time; what was asked for may still happen."""


class NotGranted(OperatorError):
    """The supervisor will not, or cannot, do what it was asked for."""


class NotUnderstood(CallerError):
    """The supervisor does not know what was asked for."""


def place_of(control: str, file: Path) -> Path:
    """Return the place of a configuration's control socket.

    Arguments:
        control: the value of ``supervisor.control``.
        file: the configuration file, beside which it is.
    """
    return file.resolve().parent / Path(control).expanduser()


def socket_of(place: Path) -> Path:
    """Return the socket of the supervisor of this place: there, where a note there points to, or elsewhere.

    Arguments:
        place: where it shall be.
    """
    try:
        if stat.S_ISREG(place.stat().st_mode):
            # The environment of who listens decides, not the one of who asks.
            written = place.read_text("utf-8", "replace")
            return Path(written) if written.endswith(NAME) else place
    except OSError:
        other = elsewhere(place)
        return other if other.exists() or not is_short(place) else place
    return place


def elsewhere(place: Path) -> Path:
    """Return the place of a socket that cannot be at its own: the path is too long, or read-only.

    Arguments:
        place: the place that it was to have.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    digest = hashlib.sha256(os.fsencode(place)).hexdigest()[:16]
    return Path(runtime) / f"docket-{os.getuid()}-{digest}" / NAME


def is_short(place: Path) -> bool:
    """Return True if a path is short enough for a socket."""
    return len(os.fsencode(place)) <= LONGEST


def ask(place: Path, word: str, seconds: float = 10.0, **fields: Any) -> dict[str, Any]:
    """Ask the supervisor that listens somewhere, and wait for its answer.

    Arguments:
        place: where it listens.
        word: what for.
        seconds: how long it may take to answer.
        fields: the particulars.

    Raises:
        NobodyAnswers: no supervisor listens there.
        NotInTime: it has not answered in time.
        NotGranted: it refuses, or it has failed.
        NotUnderstood: it does not know what is meant.

    Example:
        >>> ask(Path(".docket/control.sock"), "status")["running"]["revision"]
        7
    """
    request = json.dumps({"version": VERSION, "ask": word, **fields}).encode() + b"\n"
    found = socket_of(place)
    if (owner := stranger_at(found, place)) is not None:
        raise NotGranted(
            f"the control socket {found} belongs to another user (uid {owner}): it is not asked; run the "
            "command as that user, or set supervisor.control to a path of your own"
        )
    try:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(seconds)
            line.connect(os.fspath(found))
            line.sendall(request)
            with line.makefile("rb") as answers:
                answer = answers.readline()
    except TimeoutError as error:
        raise NotInTime(
            f"the supervisor at {place} has not answered within {seconds:g} s; it may still do what was asked"
        ) from error
    except OSError as error:
        raise NobodyAnswers(
            f"no supervisor listens at {place} ({error.strerror or error}); start one with "
            "docket-supervisor, or name its configuration with --config"
        ) from error
    if not answer.endswith(b"\n"):
        raise NobodyAnswers(
            f"the supervisor at {place} has hung up without an answer; it may be gone"
        )
    return _granted(json.loads(answer))


def stranger_at(found: Path, place: Path) -> int | None:
    """Return the user who owns a socket and is neither this one nor root; None if there is none.

    Root may ask what is at the place that the configuration names: who can write there can write that, too.

    Arguments:
        found: the socket itself.
        place: where the configuration says that it is.
    """
    us = os.getuid()
    if us == 0 and found == place:
        return None
    for path in (found,) if found == place else (found, found.parent):
        try:
            owner = path.lstat().st_uid
        except OSError:
            continue
        if owner not in (us, 0):
            return owner
    return None


def is_answered(found: Path) -> bool:
    """Return True if a supervisor listens on a socket, however busy.

    Arguments:
        found: the socket itself.

    Raises:
        OperatorError: the file there is not a socket, or must not be used.
    """
    try:
        if not stat.S_ISSOCK(found.lstat().st_mode):
            raise OperatorError(
                f"{found} is there and is not a socket; move it, or set supervisor.control to another path"
            )
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(1.0)
            line.connect(os.fspath(found))
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
        return False
    except (TimeoutError, BlockingIOError):
        return True  # its queue is full: it hangs, but it is there
    except OSError as error:
        raise OperatorError(f"{found} cannot be used: {error.strerror or error}") from error
    return True


def _granted(answer: dict[str, Any]) -> dict[str, Any]:
    if "answer" in answer:
        return answer["answer"]
    error = answer["error"]
    kind = NotUnderstood if error["kind"] == "misunderstood" else NotGranted
    raise kind(error["message"])
