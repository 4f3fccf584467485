"""What an editor says of a file with our schema is what we say: taplo and tombi are what editors use."""

from __future__ import annotations

import json
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

from docket.config.describing.schema import schema
from docket.config.describing.starter import STARTER

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).parents[2]
CASES = Path(__file__).parent / "cases"
BIN = Path(sysconfig.get_path("scripts"))

COMMANDS = {
    "taplo": (str(BIN / "taplo"), "check", "--no-auto-config"),
    "tombi": (str(BIN / "tombi"), "lint", "--offline"),
}

BEYOND = {
    # what one key says of another, or of a name elsewhere in the file
    "anchor_without_every",
    "array_for_a_single_value",
    "bounds_in_the_wrong_order",
    "bounds_that_are_one_value",
    "bounds_that_are_three",
    "bounds_that_do_not_compare",
    "clocks_that_change_without_a_cron",
    "delay_inherited_and_too_long",
    "delay_longer_than_max_delay",
    "environment_of_a_function",
    "phase_as_long_as_every",
    "phase_of_a_cron",
    "restart_pause_longer_than_the_longest",
    "runner_of_a_command",
    "schedule_of_no_task",
    "shared_limit_of_two_sizes",
    "schedule_without_any_tasks",
    "start_after_the_end",
    "strike_delay_idle",
    "strike_delay_missing",
    "strike_id_twice",
    "strike_of_no_task",
    "strike_twice_without_id",
    "include_of_a_file_that_is_not_there",
    "profile_with_a_schedule_of_no_task",
    "typo_of_a_task_with_many_tasks",
    # cron expressions, time zones, numbers within a text
    "limit_by_what_is_no_parameter",
    "cron_of_three_fields",
    "cron_of_a_word_that_is_almost_one",
    "cron_that_is_empty",
    "cron_with_a_minute_too_many",
    "cron_with_a_random_field",
    "day_that_never_comes",
    "duration_finer_than_a_millisecond",
    "duration_of_zero",
    "listen_on_a_port_that_is_none",
    "time_zone_far_from_any",
    "time_zone_in_lower_case",
    # taplo takes a text for a moment
    "moment_that_is_a_text",
    # characters and bytes
    "name_that_is_not_printable",
    "name_that_is_too_long",
    "variable_with_nul",
    # to an editor, nothing is as good as anything
    "file_of_comments",
}
"""Mistakes that JSON Schema has no words for."""


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All cases, each with the line that names the schema to editors."""
    directory = tmp_path_factory.mktemp("editors")
    (directory / "docket.schema.json").write_text(json.dumps(schema()))
    for kind in ("good", "bad"):
        (directory / kind).mkdir()
        for case in (CASES / kind).glob("*.toml"):
            head = b"#:schema ../docket.schema.json\n"
            (directory / kind / case.name).write_bytes(head + case.read_bytes())
    shutil.copy(ROOT / "docket.toml", directory / "good" / "shipped.toml")
    text = (directory / "good" / "shipped.toml").read_text()
    shipped = text.replace("./schemas/docket.schema.json", "../docket.schema.json")
    (directory / "good" / "shipped.toml").write_text(shipped)
    for overlay in (ROOT / "config").glob("*.toml"):
        text = overlay.read_text().replace("../schemas/", "../")
        (directory / "good" / f"shipped-{overlay.name}").write_text(text)
    starter = f"#:schema ../docket.schema.json\n{STARTER}"
    (directory / "good" / "starter.toml").write_text(starter)
    return directory


def accepts(tool: str, file: Path) -> bool:
    done = subprocess.run(
        [*COMMANDS[tool], str(file)], check=False, capture_output=True, cwd=file.parent, text=True
    )
    return done.returncode == 0


@pytest.mark.parametrize("tool", COMMANDS)
def test_an_editor_accepts_every_good_file(tool: str, directory: Path) -> None:
    files = sorted((directory / "good").glob("*.toml"))

    assert [file.stem for file in files if not accepts(tool, file)] == []


@pytest.mark.parametrize("tool", COMMANDS)
def test_an_editor_flags_every_mistake_that_a_schema_has_words_for(
    tool: str, directory: Path
) -> None:
    files = sorted((directory / "bad").glob("*.toml"))

    missed = {file.stem for file in files if accepts(tool, file)}

    assert missed - BEYOND == set()
    assert len(files) - len(missed) >= 60


def test_the_mistakes_beyond_a_schema_are_cases() -> None:
    assert {case for case in BEYOND if not (CASES / "bad" / f"{case}.toml").exists()} == set()
