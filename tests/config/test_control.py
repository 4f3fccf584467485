"""The control socket is found even if the configuration cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from docket.config.control import control_of

DEFAULT = ".docket/control.sock"
GOOD = '[tasks.t]\nfunction = "work:f"\n'


@pytest.mark.parametrize(
    ("text", "environ", "control"),
    [
        (GOOD, {}, DEFAULT),
        (GOOD + '[supervisor]\ncontrol = "c"\n', {}, "c"),
        (GOOD + '[supervisor]\ncontrol = "c"\n', {"DOCKET_SUPERVISOR__CONTROL": "d"}, "d"),
        ('nmae = 1\n[supervisor]\ncontrol = "c"\n', {}, "c"),
        ("nmae = 1\n", {"DOCKET_SUPERVISOR__CONTROL": "d"}, "d"),
        ("nmae = 1\n", {}, DEFAULT),
        ("supervisor = 1\n", {}, DEFAULT),
        ("[supervisor]\ncontrol = 1\n", {}, DEFAULT),
        ("[supervisor\n", {}, DEFAULT),
        (None, {}, DEFAULT),
    ],
)
def test_it_is_where_the_configuration_says_as_far_as_it_can_be_told(
    tmp_path: Path, text: str | None, environ: dict[str, str], control: str
) -> None:
    file = tmp_path / "docket.toml"
    if text is not None:
        file.write_text(text)
    assert control_of(file, environ) == control
