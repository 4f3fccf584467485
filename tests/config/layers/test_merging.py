"""Every layer wins over those before it, and every value knows which one it came from."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from docket.config.checking.problems import ConfigurationInvalid, ConfigurationUnreadable
from docket.config.load import Chosen, Loaded, load, shadowed_edits

HELLO = '[tasks.hello]\nfunction = "shop.tasks:hello"\n'


class Directory:
    """A directory of configuration files."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, **files: str) -> None:
        """Write files: double underscores stand for slashes."""
        for name, content in files.items():
            path = self.path / f"{name.replace('__', '/')}.toml"
            path.parent.mkdir(exist_ok=True)
            path.write_text(content, "utf-8")

    def load(self, *overlays: str, environ: dict[str, str] | None = None, **chosen: Any) -> Loaded:
        """What the files say."""
        paths = tuple(self.path / f"{overlay}.toml" for overlay in overlays)
        return load(self.path / "docket.toml", environ or {}, Chosen(paths, **chosen))

    def refusal(self, *overlays: str, **chosen: Any) -> str:
        """Why the files are refused; their directory is left out."""
        with pytest.raises(ConfigurationInvalid) as caught:
            self.load(*overlays, **chosen)
        return str(caught.value).replace(f"{self.path}/", "")

    def origin(self, loaded: Loaded, *path: str | int) -> str:
        """Where a value came from; the directory is left out."""
        return str(loaded.sources.origin(path)).replace(f"{self.path}/", "")


@pytest.fixture
def files(tmp_path: Path) -> Directory:
    return Directory(tmp_path)


def test_each_layer_wins_over_the_one_before_it(files: Directory) -> None:
    files.write(
        docket=f'include = ["parts/*.toml"]\n[defaults.task]\ntimeout = "1s"\n{HELLO}',
        parts__a='[tasks.hello]\ntimeout = "2s"\n',
        overlay='[tasks.hello]\ntimeout = "3s"\n[profiles.dev.tasks.hello]\ntimeout = "5s"\n',
        second='[tasks.hello]\ntimeout = "4s"\n',
    )
    variable = {"DOCKET_TASKS__HELLO__TIMEOUT": "6s"}
    everything: list[tuple[Loaded, int, str]] = [
        (files.load(), 2, "parts/a.toml:2"),
        (files.load("overlay"), 3, "overlay.toml:2"),
        (files.load("overlay", "second"), 4, "second.toml:2"),
        (files.load("overlay", "second", profile="dev"), 5, "overlay.toml:4"),
        (
            files.load("overlay", profile="dev", environ=variable),
            6,
            "env DOCKET_TASKS__HELLO__TIMEOUT",
        ),
        (
            files.load(
                "overlay",
                profile="dev",
                environ=variable,
                settings=("tasks.hello.timeout=8s", "tasks.hello.timeout = '7s'"),
            ),
            7,
            "--set tasks.hello.timeout",
        ),
    ]
    for loaded, seconds, origin in everything:
        assert loaded.configuration.tasks["hello"].timeout == timedelta(seconds=seconds)
        assert files.origin(loaded, "tasks", "hello", "timeout") == origin
        assert files.origin(loaded, "tasks", "hello", "function") == "docket.toml:5"


def test_what_a_file_leaves_out_is_a_default_and_then_a_default_of_the_model(
    files: Directory,
) -> None:
    files.write(docket=f'[defaults.task]\ntimeout = "1s"\n{HELLO}')
    loaded = files.load()
    assert loaded.configuration.tasks["hello"].timeout == timedelta(seconds=1)
    assert files.origin(loaded, "tasks", "hello", "timeout") == "docket.toml:2"
    assert loaded.configuration.tasks["hello"].queue == "default"
    assert ("tasks", "hello", "queue") not in loaded.origins


def test_overlays_merge_deeply_and_replace_arrays(files: Directory) -> None:
    files.write(
        docket=f'{HELLO}[workers.default]\nqueues = ["a", "b"]\nconcurrency = 3\n'
        '[[strikes]]\nid = "one"\ntask = "hello"\nreason = "x"\n',
        over='[workers.default]\nqueues = ["c"]\n[[strikes]]\nid = "two"\ntask = "hello"\n',
    )
    loaded = files.load("over")
    pool = loaded.configuration.workers["default"]
    assert (pool.queues, pool.concurrency) == (("c",), 3)
    assert [strike.id for strike in loaded.configuration.strikes] == ["two"]
    assert files.origin(loaded, "strikes", 0, "id") == "over.toml:4"
    assert loaded.configuration.strikes[0].reason == ""


def test_included_files_add_and_are_read_in_lexical_order(files: Directory) -> None:
    files.write(
        docket=f'version = 1\ninclude = ["parts/*.toml", "extra.toml"]\n{HELLO}'
        '[[strikes]]\nid = "first"\ntask = "hello"\n',
        parts__b='version = 1\n[[strikes]]\nid = "third"\ntask = "hello"\n',
        parts__a='[tasks.a]\nfunction = "a:a"\n[[strikes]]\nid = "second"\ntask = "a"\n',
        extra='[tasks.extra]\nfunction = "a:extra"\n',
        unread='[tasks.unread]\nfunction = "a:unread"\n',
    )
    (files.path / "parts" / ".hidden.toml").write_text("no TOML")
    (files.path / "parts" / "directory.toml").mkdir()
    loaded = files.load()
    assert list(loaded.configuration.tasks) == ["hello", "extra", "a"]
    assert [strike.id for strike in loaded.configuration.strikes] == ["first", "second", "third"]
    assert files.origin(loaded, "strikes", 0, "id") == "docket.toml:6"
    assert files.origin(loaded, "strikes", 1, "id") == "parts/a.toml:4"
    assert files.origin(loaded, "strikes", 2, "id") == "parts/b.toml:3"


def test_what_is_wrong_in_an_included_entry_is_shown_where_it_stands(files: Directory) -> None:
    files.write(
        docket=f'include = ["parts/*.toml"]\n{HELLO}[[strikes]]\ntask = "hello"\n',
        parts__a="[[strikes]]\ntask = 5\n",
    )
    assert files.refusal().startswith(
        "parts/a.toml:2:8: strikes[0].task: expected a string in quotes, found 5\n"
    )


def test_a_key_that_two_files_say_is_an_error_that_names_both(files: Directory) -> None:
    files.write(
        docket=f'include = ["parts/*.toml"]\n{HELLO}timeout = "5s"\n',
        parts__a='name = "a"\n[tasks.hello]\ntimeout = "6s"\n',
        parts__b='name = "b"\ntasks = 3\n',
    )
    assert files.refusal() == (
        "parts/a.toml:3:1: tasks.hello.timeout: is set a second time, and for the first time at"
        " docket.toml:4; keep one of the two, or let an overlay (--config) say it instead\n"
        '    timeout = "6s"\n    ^\n'
        "parts/b.toml:1:1: name: is set a second time, and for the first time at parts/a.toml:1;"
        " keep one of the two, or let an overlay (--config) say it instead\n"
        '    name = "b"\n    ^\n'
        "parts/b.toml:2:1: tasks: is set a second time, and for the first time at docket.toml:2;"
        " keep one of the two, or let an overlay (--config) say it instead\n"
        "    tasks = 3\n    ^"
    )


def test_a_table_where_an_earlier_file_has_a_value_is_an_error(files: Directory) -> None:
    files.write(docket=f'include = ["a.toml"]\n{HELLO}timeout = "5s"\n', a="[tasks.hello.timeout]")
    assert "a.toml:1:14: tasks.hello.timeout: is set a second time" in files.refusal()


@pytest.mark.parametrize("pattern", ["/etc/*.toml", "../x.toml", "a/../../x.toml", ""])
def test_only_files_beside_the_file_are_included(files: Directory, pattern: str) -> None:
    files.write(docket=f'include = ["{pattern}"]\n{HELLO}')
    assert 'include[0]: expected a pattern of files beside this one, such as "docket.d/*.toml"' in (
        files.refusal()
    )


def test_a_pattern_may_mean_nothing_yet_but_a_name_may_not(files: Directory) -> None:
    files.write(docket=f'include = ["parts/*.toml", "*.toml"]\n{HELLO}')
    assert files.load().configuration.include == ("parts/*.toml", "*.toml")
    files.write(docket=f'include = ["gone.toml"]\n{HELLO}')
    assert files.refusal().startswith(
        "docket.toml:1:12: include[0]: expected a file beside docket.toml, found none of this name"
    )


def test_only_the_first_file_includes_others(files: Directory) -> None:
    files.write(docket=f'include = ["a.toml"]\n{HELLO}', a='include = ["b.toml"]\n')
    assert files.refusal().startswith(
        "a.toml:1:1: include: only the file that is named first includes others; name the files there"
    )


def test_what_is_no_toml_is_told_of_all_files_at_once(files: Directory) -> None:
    files.write(docket=f'include = ["a.toml"]\n{HELLO}', a="=", over="[")
    told = files.refusal("over")
    assert "a.toml:1:1: this is not TOML" in told
    assert "over.toml:1:2: this is not TOML" in told
    files.write(docket="=")
    assert "docket.toml:1:1: this is not TOML" in files.refusal("over")


def test_an_empty_part_is_refused_and_one_of_comments_is_not(files: Directory) -> None:
    files.write(docket=HELLO, over="\n", comments="# nothing now\n")
    assert files.refusal("over") == (
        "over.toml: the file is empty; remove it, or comment out what it said"
    )
    assert files.load("comments").meaning == files.load().meaning


def test_an_overlay_that_is_missing_can_not_be_read(files: Directory) -> None:
    files.write(docket=HELLO)
    with pytest.raises(ConfigurationUnreadable, match=r"gone\.toml: there is no such file"):
        files.load("gone")


def test_other_bytes_of_any_file_are_another_digest(files: Directory) -> None:
    files.write(docket=HELLO, over="# one\n")
    before = files.load("over")
    files.write(over="# two\n")
    after = files.load("over")
    assert before.digest != after.digest
    assert before.meaning == after.meaning


DEV = f"""{HELLO}
[workers.default]
processes = 4

[profiles.dev.workers.default]
processes = 1

[profiles.prod]
name = "prod"
strikes = [{{ id = "a", task = "hello" }}]
"""


def test_a_profile_counts_where_it_is_chosen(files: Directory) -> None:
    files.write(docket=DEV)
    assert files.load().configuration.workers["default"].processes == 4
    assert files.load(profile="dev").configuration.workers["default"].processes == 1
    chosen = files.load(environ={"DOCKET_PROFILE": "prod"})
    assert chosen.configuration.name == "prod"
    assert files.origin(chosen, "strikes", 0, "id") == "docket.toml:12"
    by_name = files.load(profile="dev", environ={"DOCKET_PROFILE": "prod"})
    assert by_name.configuration.name == "docket"


def test_other_profiles_and_their_changes_are_no_part_of_the_meaning(files: Directory) -> None:
    files.write(docket=DEV)
    before = files.load(profile="dev").meaning
    files.write(docket=DEV.replace('"prod"\n', '"else"\n'))
    assert files.load(profile="dev").meaning == before


def test_a_profile_that_does_not_exist_is_refused_with_a_suggestion(files: Directory) -> None:
    files.write(docket=DEV)
    assert files.refusal(profile="deb") == (
        '--profile: expected a profile of this file, found "deb"; did you mean "dev"?'
        " profiles: dev, prod"
    )
    files.write(docket=HELLO)
    assert files.refusal(environ={"DOCKET_PROFILE": "dev"}) == (
        'DOCKET_PROFILE: expected a profile of this file, found "dev"; there are none'
    )


def test_what_is_wrong_in_a_profile_is_told_before_it_is_chosen(files: Directory) -> None:
    wrong = (
        f'{HELLO}[profiles.dev]\nversion = 1\nnmae = "secret"\n[profiles.dev.workers.default]\n'
        'processes = "1"\n[profiles.prod.schedules.often]\ntask = "helo"\nevery = "5s"\n'
        '[profiles]\nodd = 3\n[profiles.stub.tasks.other]\ntimeout = "5s"\n'
    )
    files.write(docket=wrong)
    expected = [
        "docket.toml:4:1: profiles.dev.version: unknown key",
        "docket.toml:5:1: profiles.dev.nmae: unknown key",
        "docket.toml:7:13: profiles.dev.workers.default.processes: expected a whole number",
        "docket.toml:9:8: profiles.prod.schedules.often.task: expected a task of this file",
        "docket.toml:12:7: profiles.odd: expected a table, found 3",
        "docket.toml:13:1: profiles.stub.tasks.other: expected exactly one of",
    ]
    for chosen in (None, "dev"):
        lines = [
            line for line in files.refusal(profile=chosen).splitlines() if not line.startswith(" ")
        ]
        assert len(lines) == len(expected)
        assert all(line.startswith(start) for line, start in zip(lines, expected, strict=True))
    assert '"secret"' not in files.refusal()


def test_an_error_of_the_file_is_not_told_again_for_every_profile(files: Directory) -> None:
    files.write(docket=f'{HELLO}timeout = "soon"\n[profiles.dev.tasks.hello]\nqueue = "a"\n')
    told = files.refusal().splitlines()
    assert [line for line in told if not line.startswith(" ")] == [
        (
            'docket.toml:3:11: tasks.hello.timeout: expected a duration such as "500ms", "90s" or "1h30m",'
            ' found "soon"'
        )
    ]


def test_a_choice_that_an_overlay_breaks_is_shown_in_the_overlay(files: Directory) -> None:
    files.write(
        docket=f'{HELLO}[schedules.often]\ntask = "hello"\nevery = "5s"\n',
        over='[schedules.often]\ncron = "0 * * * *"\n',
    )
    assert files.refusal("over").startswith(
        "over.toml:1:1: schedules.often: expected exactly one of cron, every, at, found more"
    )


def test_a_key_that_is_missing_is_missed_where_the_table_begins(files: Directory) -> None:
    files.write(docket='[tasks.hello]\nqueue = "a"\n', over='[tasks.hello]\ntimeout = "5s"\n')
    assert files.refusal("over").startswith(
        "docket.toml:1:1: tasks.hello: expected exactly one of funct"
    )


def test_the_secret_of_an_overlay_is_not_shown(files: Directory) -> None:
    files.write(docket=HELLO, over='urll = "redis://:hunter2@db"\nurl = "x://:hunter2@db"\n')
    told = files.refusal("over")
    assert told.startswith("over.toml:1:1: urll: unknown key")
    assert "hunter2" not in told


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("name", "--set: expected path=value, as in --set workers.default.concurrency=20"),
        ("a b=1", "--set: expected path=value, as in --set workers.default.concurrency=20"),
        ("a\nb=1", "--set: expected path=value, as in --set workers.default.concurrency=20"),
        (
            "tasks.helo.timeout=5s",
            (
                "--set tasks.helo.timeout: tasks.helo.timeout: no key of the configuration has this path;"
                " did you mean tasks.hello.timeout?"
            ),
        ),
        (
            "qqqqqqqq=5",
            (
                "--set qqqqqqqq: qqqqqqqq: no key of the configuration has this path;"
                " name a key that the model or the file has"
            ),
        ),
        (
            "tasks.hello={}",
            (
                "--set tasks.hello: tasks.hello: is a table and cannot be set as a whole;"
                " set one of its keys"
            ),
        ),
        (
            "workers.default.processes=many",
            (
                "--set workers.default.processes: workers.default.processes: expected a whole number,"
                " found a string that is not shown"
            ),
        ),
    ],
)
def test_a_setting_that_can_not_be_meant_is_refused(
    files: Directory, setting: str, told: str
) -> None:
    files.write(docket=HELLO)
    assert files.refusal(settings=(setting,)) == told


def test_where_the_file_has_no_table_the_file_is_to_blame_and_not_the_setting(
    files: Directory,
) -> None:
    files.write(docket="supervisor = 3\n")
    assert files.refusal(settings=("supervisor.reload.settle=5s",)).startswith(
        "docket.toml:1:14: supervisor: expected a table, found 3\n"
    )


def test_an_edit_that_the_environment_shadows_is_told(files: Directory) -> None:
    files.write(docket=f"{HELLO}[workers.default]\nprocesses = 2\nconcurrency = 5\n")
    environ = {"DOCKET_WORKERS__DEFAULT__PROCESSES": "1", "DOCKET_NAME": "x"}
    before = files.load(environ=environ)
    files.write(docket=f"{HELLO}[workers.default]\nprocesses = 3\nconcurrency = 6\n")
    after = files.load(environ=environ)
    assert shadowed_edits(before, before) == ()
    assert shadowed_edits(before, after) == (
        (
            "workers.default.processes: the edit has no effect: DOCKET_WORKERS__DEFAULT__PROCESSES says"
            " otherwise (shadowed)"
        ),
    )


def test_the_history_of_a_value_names_all_who_said_something(files: Directory) -> None:
    files.write(docket=DEV, over="[workers.default]\nprocesses = 5\n")
    loaded = files.load("over", profile="dev", settings=("workers.default.processes=7",))
    history = loaded.sources.history(("workers", "default", "processes"))
    assert [(str(origin).replace(f"{files.path}/", ""), value) for origin, value in history] == [
        ("docket.toml:5", 4),
        ("over.toml:2", 5),
        ("docket.toml:8", 1),
        ("--set workers.default.processes", 7),
    ]
