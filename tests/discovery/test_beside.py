"""Modules beside a configuration do not stand in for those that the program needs."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest

from docket.discovery.beside import NEEDED, Beside, hidden, look_beside

PROGRAM = """
import os, sys
from docket.discovery.beside import look_beside

look_beside(os.getcwd())
look_beside(os.getcwd())
for name in sys.argv[1:]:
    module = __import__(name)
    file = getattr(module, "__file__", None)
    print(name, bool(file) and os.path.dirname(file).startswith(os.getcwd()), sys.path.count(os.getcwd()))
"""


@pytest.mark.thorough
def test_what_is_needed_is_not_taken_from_there_and_the_rest_is_found_there_first(
    tmp_path: Path,
) -> None:
    # distutils-precedence and pytest are installed as well; the last one has no module in it.
    for name in ("types", "queue", "redis", "docket", "pytest", "work"):
        (tmp_path / f"{name}.py").write_text("X = 1\n")
    (tmp_path / "hypothesis").mkdir()
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "inner.py").write_text("")
    program = tmp_path / "elsewhere" / "program.py"
    program.parent.mkdir()
    program.write_text(PROGRAM)
    names = ["types", "queue", "redis", "docket", "hypothesis", "pytest", "work", "bare"]

    done = subprocess.run(
        [sys.executable, str(program), *names],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
        check=True,
    )

    beside = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()}
    assert [name for name in names if beside[name][0] == "True"] == ["pytest", "work"]
    assert {count for _, count in beside.values()} == {"1"}


def test_a_package_is_found_by_its_parent(tmp_path: Path) -> None:
    assert Beside(str(tmp_path)).find_spec("work.tasks", [str(tmp_path)]) is None


def test_a_directory_that_is_looked_into_already_is_not_looked_into_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    finders = list(sys.meta_path)

    look_beside(str(tmp_path))

    assert sys.meta_path == finders


def test_a_file_that_is_hidden_is_named(tmp_path: Path) -> None:
    (tmp_path / "queue.py").touch()
    (tmp_path / "redis").mkdir()
    (tmp_path / "redis" / "__init__.py").touch()
    (tmp_path / "work.py").touch()

    found = [hidden(name, str(tmp_path)) for name in ("queue", "redis.client", "work", "types")]

    assert found == ["queue.py", "redis/__init__.py", "", ""]


def test_everything_that_the_program_stands_on_is_needed() -> None:
    distributions = {
        _plain(one.metadata["Name"]): one for one in importlib.metadata.distributions()
    }
    known, names = set[str](), ["docket-platform"]
    for name in names:
        if name in known or name not in distributions:
            continue
        known.add(name)
        names.extend(
            _plain(re.split(r"[^\w.-]", requirement)[0])
            for requirement in distributions[name].requires or ()
            # Extras of others are not ours; our own are.
            if "extra ==" not in requirement or name == "docket-platform"
        )
    modules = {
        module
        for name in known
        for file in distributions[name].files or ()
        if (module := _module_of(file.parts[0]))
    }
    assert "pydantic_core" in modules
    assert modules - NEEDED == set()


def _plain(name: str) -> str:
    return re.sub("[-_.]+", "-", name).lower()


def _module_of(part: str) -> str:
    """What can be imported by the first part of a file's path; compiled helpers have names of their own."""
    if part.endswith((".dist-info", ".data", ".pth", ".so")) or part in {"..", "__pycache__"}:
        return ""
    return part.removesuffix(".py")
