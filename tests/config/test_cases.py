"""Every mistake that was met in the field, beside the exact message that it gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from docket.config.checking.problems import ConfigurationInvalid
from docket.config.load import parse

CASES = Path(__file__).parent / "cases"
BAD = sorted((CASES / "bad").glob("*.toml"))
GOOD = sorted((CASES / "good").glob("*.toml"))


def named(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("path", BAD, ids=named)
def test_a_bad_file_gets_its_exact_message(path: Path) -> None:
    with pytest.raises(ConfigurationInvalid) as caught:
        parse(path.read_bytes())
    assert f"{caught.value}\n" == path.with_suffix(".expected").read_text("utf-8")


@pytest.mark.parametrize("path", GOOD, ids=named)
def test_a_good_file_loads_with_its_exact_warnings(path: Path) -> None:
    warnings = parse(path.read_bytes()).warnings
    told = "".join(f"{warning.render()}\n" for warning in warnings)
    assert told == path.with_suffix(".expected").read_text("utf-8")


@pytest.mark.parametrize("path", [*BAD, *GOOD], ids=named)
def test_a_secret_is_in_no_message(path: Path) -> None:
    assert "hunter2" not in path.with_suffix(".expected").read_text("utf-8")


def test_there_are_many_cases() -> None:
    assert len(BAD) >= 60
    assert len(GOOD) >= 20


def test_every_expectation_belongs_to_a_case() -> None:
    expected = {path.with_suffix(".toml") for path in CASES.glob("*/*.expected")}
    assert expected == {*BAD, *GOOD}
