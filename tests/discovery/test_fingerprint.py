"""Which code a process runs: the content of what it has imported, wherever that lies."""

from __future__ import annotations

import errno
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from docket.discovery.fingerprint import MISSING, NO_CODE, UNSURE, Code, code_of, digest_of


@pytest.fixture
def imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with modules that count as imported: beside a configuration, and installed."""
    here, installed = tmp_path / "here", tmp_path / "installed"
    files = {
        "fp_beside": here / "fp_beside.py",
        "fp_foreign": here / ".venv" / "fp_foreign.py",
        "fp_shop.tasks": installed / "fp_shop" / "tasks.py",
        "fp_shop.prices": installed / "fp_shop" / "prices.py",
        "fp_other": installed / "fp_other.py",
        "docket.fp_own": here / "docket_own.py",
    }
    for name, file in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"# {name}\n")
        module: Any = ModuleType(name)
        module.__file__ = str(file)
        monkeypatch.setitem(sys.modules, name, module)
    odd: Any = 7
    for name, value in {
        "fp_shop.odd": odd,
        "fp_shop.none": None,
        "fp_shop.bare": ModuleType("x"),
    }.items():
        monkeypatch.setitem(sys.modules, name, value)
    monkeypatch.chdir(here)
    return tmp_path


def test_it_is_the_packages_of_the_tasks_and_what_is_beside_the_file(imported: Path) -> None:
    code = code_of(["fp_shop.tasks", "json"])
    installed = imported / "installed" / "fp_shop"

    assert {name: path for name, (path, _) in code.modules.items()} == {
        "fp_beside": "fp_beside.py",
        "fp_shop.tasks": str(installed / "tasks.py"),
        "fp_shop.prices": str(installed / "prices.py"),
    }
    assert code.files["fp_beside.py"] == digest_of(imported / "here" / "fp_beside.py")
    assert Code.read({name: list(told) for name, told in code.modules.items()}) == code


def test_it_stays_what_was_imported_and_another_path_is_no_other_code(imported: Path) -> None:
    before = code_of(["fp_shop"])
    (imported / "here" / "fp_beside.py").write_text("something else")

    assert code_of(["fp_shop"]) == before
    moved = Code(
        {name: (f"/elsewhere/{path}", digest) for name, (path, digest) in before.modules.items()}
    )
    assert moved.fingerprint == before.fingerprint
    assert len(before.fingerprint) == 12
    assert NO_CODE.fingerprint == ""


def test_a_file_that_was_written_while_it_was_imported_may_hold_either(
    imported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert set(code_of([], since=1).files.values()) == {UNSURE}
    file = imported / "here" / "fp_late.py"
    file.write_text("")
    late: Any = ModuleType("fp_late")
    late.__file__ = str(file)
    monkeypatch.setitem(sys.modules, "fp_late", late)
    # The time of another machine: it is still to come here.
    monkeypatch.setattr(time, "time_ns", lambda: 2)
    assert code_of([], since=1).files["fp_late.py"] == digest_of(file)


def test_what_cannot_be_read_has_no_content(
    imported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (imported / "here" / "fp_beside.py").unlink()
    assert code_of([]).files == {"fp_beside.py": MISSING}
    assert digest_of(imported / "nothing") == MISSING

    def exhausted(_: Path) -> bytes:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(Path, "read_bytes", exhausted)
    with pytest.raises(OSError, match="too many open files"):
        digest_of(imported)


def test_without_a_working_directory_packages_are_what_is_left(
    imported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert set(code_of(["fp_other"]).modules) == {"fp_other"}
    monkeypatch.chdir(imported)
