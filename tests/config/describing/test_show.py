"""What counts, who says so, and what is known of every key."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from docket.config.describing.catalogue import all_keys, key_at
from docket.config.describing.reference import PATH, text, write
from docket.config.describing.show import closest_path, explain_path, values_of
from docket.config.load import Chosen, Loaded, load, parse
from docket.config.reading.keypath import KeyPath, dotted, read_path

ROOT = Path(__file__).parents[3]
FILE = """
name = "shop"
url = "redis://app:hunter2@db"
[security.signing_keys]
one = "env:HUNTER2"
[defaults.task]
timeout = "90s"
[tasks."billing.charge"]
function = "shop:charge"
[schedules.often]
task = "billing.charge"
every = "1m"
kwargs = { at = 2026-01-01, list = [1, { a = 2 }] }
[[strikes]]
id = "one"
task = "billing.charge"
[profiles.dev]
name = "dev"
"""


@pytest.fixture
def loaded() -> Loaded:
    return parse(FILE, environ={"DOCKET_WORKERS__DEFAULT__CONCURRENCY": "7"})


def test_every_value_is_shown_with_its_origin(loaded: Loaded) -> None:
    lines = {value.line: value.origin for value in values_of(loaded)}
    expected = {
        'name = "shop"': "docket.toml:2",
        'url = "redis://***@db"': "docket.toml:3",
        "security.signing_keys.one = (secret)": "docket.toml:5",
        'tasks."billing.charge".timeout = "1m30s"': "docket.toml:7",
        'tasks."billing.charge".queue = "default"': "default",
        "schedules.often.kwargs.at = 2026-01-01": "docket.toml:13",
        'strikes[0].id = "one"': "docket.toml:15",
        "workers.default.concurrency = 7": "env DOCKET_WORKERS__DEFAULT__CONCURRENCY",
        'supervisor.reload.max_removals = "50%"': "default",
    }
    assert expected.items() <= lines.items()
    assert "hunter2" not in str(lines).casefold()
    assert not any(line.startswith(("profiles", "include")) for line in lines)


def test_the_fields_of_a_value_are_plain(loaded: Loaded) -> None:
    fields = {value.fields["path"]: value.fields["value"] for value in values_of(loaded)}
    assert fields['tasks."billing.charge".timeout'] == "1m30s"
    assert fields["supervisor.reload.max_removals"] == "50%"
    assert fields["workers.default.concurrency"] == 7


def test_a_key_is_explained_with_all_who_say_something(tmp_path: Path) -> None:
    file = tmp_path / "docket.toml"
    file.write_text(FILE)
    chosen = Chosen(profile="dev", settings=("defaults.task.timeout=3s",))
    loaded = load(file, {}, chosen)
    name = explain_path(loaded, ("name",))
    assert name is not None
    assert [line.replace(f"{tmp_path}/", "") for line in name.lines()] == [
        "name: The namespace in Redis; a change needs a restart.",
        "  kind:     string",
        '  default:  "docket"',
        "  an edit:  needs a restart",
        '  here:     name = "dev"  # docket.toml:18',
        '  hidden:   "shop"  # docket.toml:2',
    ]
    timeout = explain_path(loaded, ("tasks", "billing.charge", "timeout"))
    assert timeout is not None
    assert [line.replace(f"{tmp_path}/", "") for line in timeout.lines()][1:] == [
        "  kind:     duration",
        "  default:  none",
        "  an edit:  live",
        '  here:     tasks."billing.charge".timeout = "3s"  # --set defaults.task.timeout',
        '  hidden:   "90s"  # docket.toml:7',
    ]


def test_a_table_is_explained_by_what_is_in_it(loaded: Loaded) -> None:
    found = explain_path(loaded, ("strikes", 0))
    assert found is not None
    assert '  here:     strikes[0].id = "one"  # docket.toml:15' in list(found.lines())


def test_a_key_that_nobody_sets_is_explained(loaded: Loaded) -> None:
    found = explain_path(loaded, ("schedules", "often", "timezone"))
    assert found is not None
    assert found.values == ()
    included = explain_path(loaded, ("include",))
    assert included is not None
    assert "  an edit:  as what it says" in list(included.lines())


@pytest.mark.parametrize("path", ["tasks.gone.timeout", "nothing", "name.x", "strikes[4]"])
def test_what_is_not_there_is_not_explained(loaded: Loaded, path: str) -> None:
    keys = read_path(path)
    assert keys is not None
    assert explain_path(loaded, keys) is None


def test_what_was_probably_meant_is_known(loaded: Loaded) -> None:
    assert closest_path(loaded, ("tasks", "billing.charge", "timeotu")) == (
        'tasks."billing.charge".timeout'
    )
    assert closest_path(loaded, ("qqqqqqqqqqqqqqqqqq",)) == ""


@pytest.mark.parametrize(
    "path", [("name",), ("strikes", 0, "when", "a b", "op"), ("tasks", 'x"y', "retry")]
)
def test_a_path_is_read_as_it_was_written(path: KeyPath) -> None:
    assert read_path(dotted(path)) == path


@pytest.mark.parametrize("text", ["", "a b", "a\nb", "a = 1 #", "[a]", "a..b"])
def test_what_is_no_path_is_not_read(text: str) -> None:
    assert read_path(text) is None


def test_every_key_of_the_model_is_in_the_catalogue() -> None:
    keys = {key.path: key for key in all_keys()}
    assert keys["tasks", "NAME", "retry", "attempts"].kind == "whole number, at least 1"
    assert keys["workers", "NAME", "processes"].kind == "whole number, at least 1, at most 1000"
    assert (
        keys["supervisor", "restart", "backoff", "jitter"].kind == "number, at least 0, at most 1"
    )
    assert keys["workers", "NAME", "env"].kind == "table of string"
    assert keys["schedules", "NAME", "args"].kind == "array of any value"
    assert keys["schedules", "NAME", "paused"].kind == "true or false"
    assert keys["strikes", 0, "when", "NAME", "value"].is_required
    assert all(key.meaning and key.effect and key.kind for key in keys.values())


def test_a_value_below_a_free_table_can_be_anything() -> None:
    key = key_at(("schedules", "often", "kwargs", "list"))
    assert key is not None
    assert (key.kind, key.is_table) == ("any value", False)
    assert key_at(()) is not None


def test_the_reference_in_the_tree_is_that_of_the_model() -> None:
    assert (ROOT / PATH).read_text("utf-8") == text(), (
        "run python -m docket.config.describing.reference"
    )


@pytest.mark.thorough
def test_the_reference_is_written_to_a_file(tmp_path: Path) -> None:
    write(tmp_path / "new" / "reference.md")
    assert (tmp_path / "new" / "reference.md").read_text("utf-8") == text()
    subprocess.run(
        [sys.executable, "-m", "docket.config.describing.reference"], cwd=tmp_path, check=True
    )
    assert (tmp_path / PATH).read_text("utf-8") == text()
