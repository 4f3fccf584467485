from __future__ import annotations

import hashlib
import os
from datetime import timedelta
from pathlib import Path

import pytest

from docket.config.checking.problems import ConfigurationInvalid, ConfigurationUnreadable
from docket.config.load import load, meaning_of, parse, resolved_url
from docket.config.model import Configuration
from docket.errors import ConfigurationError

HELLO = '[tasks.hello]\nfunction = "shop.tasks:hello"\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "docket.toml"
    path.write_text(HELLO, "utf-8")
    return path


def refusal(content: bytes | str) -> str:
    with pytest.raises(ConfigurationInvalid) as caught:
        parse(content)
    return str(caught.value)


def test_the_smallest_file_has_a_default_for_everything_else(file: Path) -> None:
    configuration = load(file, {}).configuration
    pool = configuration.workers["default"]
    assert (configuration.name, configuration.url) == ("docket", None)
    assert configuration.execution_ttl == timedelta(minutes=15)
    assert (pool.processes, pool.concurrency, pool.queues) == (1, 10, ("default",))
    assert (pool.drain, pool.env) == (timedelta(seconds=30), {})
    assert configuration.tasks["hello"].timeout is None
    assert configuration.tasks["hello"].retry.attempts == 1
    assert (configuration.supervisor.host, configuration.supervisor.port) == ("127.0.0.1", 9464)


def test_the_environment_of_the_process_counts_by_default(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKET_NAME", "orders")
    assert load(file).configuration.name == "orders"


def test_without_a_url_the_server_is_the_embedded_one_beside_the_file(file: Path) -> None:
    assert load(file, {}).url == f"embedded://{file.resolve().parent}/.docket"


def test_a_url_is_the_server() -> None:
    assert parse('url = "redis://db"').url == "redis://db"
    assert resolved_url(Configuration(url="redis://db"), "docket.toml") == "redis://db"


def test_an_ipv6_address_is_listened_on_without_its_brackets() -> None:
    supervisor = parse('[supervisor]\nlisten = "[::1]:80"').configuration.supervisor
    assert (supervisor.host, supervisor.port) == ("::1", 80)


def test_a_dotted_key_of_a_task_merges_over_the_defaults() -> None:
    tasks = parse(
        '[defaults.task]\ntimeout = "5s"\nretry = { attempts = 3, delay = "2s" }\n'
        f"{HELLO}retry.attempts = 8\n"
    ).configuration.tasks
    assert tasks["hello"].timeout == timedelta(seconds=5)
    assert tasks["hello"].retry.attempts == 8
    assert tasks["hello"].retry.delay == timedelta(seconds=2)


def test_every_value_knows_where_it_was_written() -> None:
    origins = parse(
        f'{HELLO}retry.attempts = 8\n[defaults.task]\nretry = {{ delay = "2s" }}\n'
        '[[strikes]]\ntask = "hello"\n[workers.default]\nenv = {}\n',
        "docket.toml",
        {"DOCKET_WORKERS__DEFAULT__CONCURRENCY": "7", "DOCKET_DEFAULTS__TASK__TIMEOUT": "9s"},
    ).origins
    assert {path: str(origin) for path, origin in origins.items()} == {
        ("tasks", "hello", "function"): "docket.toml:2",
        ("tasks", "hello", "retry", "attempts"): "docket.toml:3",
        ("tasks", "hello", "retry", "delay"): "docket.toml:5",
        ("tasks", "hello", "timeout"): "env DOCKET_DEFAULTS__TASK__TIMEOUT",
        ("defaults", "task", "retry", "delay"): "docket.toml:5",
        ("defaults", "task", "timeout"): "env DOCKET_DEFAULTS__TASK__TIMEOUT",
        ("strikes", 0, "task"): "docket.toml:7",
        ("workers", "default", "env"): "docket.toml:9",
        ("workers", "default", "concurrency"): "env DOCKET_WORKERS__DEFAULT__CONCURRENCY",
    }


def test_the_digest_is_that_of_the_bytes(file: Path) -> None:
    assert load(file, {}).digest == hashlib.sha256(file.read_bytes()).hexdigest()


def test_comments_order_and_spelling_do_not_change_the_meaning() -> None:
    one = parse(
        '[tasks.a]\nfunction = "a:b"\n[tasks.c]\nfunction = "a:c"\ntimeout = "90s"\n'
        '[supervisor.reload]\nmax_removals = "50%"\n'
    )
    other = parse(
        '# here\ntasks.c = { timeout = "1m30s", function = "a:c" }\ntasks.a.function = "a:b"\n'
    )
    assert one.meaning == other.meaning == meaning_of(other.configuration)
    assert one.digest != other.digest


def test_a_default_that_is_written_out_has_the_same_meaning() -> None:
    written = Configuration.model_validate_json(Configuration().model_dump_json())
    assert written == Configuration()
    assert meaning_of(written) == meaning_of(Configuration())


def test_what_is_a_hosts_own_is_no_part_of_the_meaning() -> None:
    own = (
        'logging = { level = "debug" }\nsupervisor = { listen = "0.0.0.0:1", control = "here"LAST }'
    )
    one, other = (
        parse(own.replace("LAST", "")),
        parse(own.replace("LAST", ', probe_timeout = "1s"')),
    )

    assert one.meaning == parse("version = 1").meaning
    assert one.meaning != other.meaning


def test_another_order_of_signing_keys_is_another_meaning() -> None:
    one = parse('security.signing_keys = { a = "env:A", b = "env:B" }')
    other = parse('security.signing_keys = { b = "env:B", a = "env:A" }')
    assert one.meaning != other.meaning


def test_a_date_is_not_the_text_that_looks_like_it() -> None:
    schedule = '[schedules.s]\ntask = "hello"\nevery = "1h"\nargs = [{}]\n'
    meanings = {
        parse(HELLO + schedule.format(argument)).meaning
        for argument in ("2026-01-01", '"2026-01-01"', "1", "1.0", "true", '"1"', "{}", "[]")
    }
    assert len(meanings) == 8


def test_a_missing_file_says_how_to_begin(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigurationUnreadable, match=r"docket\.toml: there is no such file; create"
    ):
        load(tmp_path / "docket.toml", {})


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationUnreadable, match="expected a file, found a directory"):
        load(tmp_path, {})


def test_a_file_that_can_not_be_read_says_why(tmp_path: Path) -> None:
    loop = tmp_path / "docket.toml"
    loop.symlink_to(loop)
    with pytest.raises(ConfigurationUnreadable, match="cannot be read: "):
        load(loop, {})


def test_a_path_that_no_system_takes_can_not_be_read() -> None:
    with pytest.raises(ConfigurationUnreadable, match="cannot be read: embedded null byte"):
        load("docket\0toml", {})


def test_what_can_not_be_read_is_a_configuration_that_can_not_be_used(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        load(tmp_path / os.urandom(4).hex(), {})


def test_an_empty_file_is_refused() -> None:
    assert (
        refusal("")
        == refusal(" \n\t\n")
        == (
            "docket.toml: the file is empty;"
            ' the smallest one is: [tasks.hello] function = "package.module:function"'
        )
    )


def test_bytes_that_are_not_utf_8_are_shown_with_their_place() -> None:
    assert refusal(b'name = "x"\nurl = "\xff"') == (
        "docket.toml:2:8: expected UTF-8, found the byte 0xff; save the file as UTF-8"
    )


def test_a_byte_order_mark_says_nothing() -> None:
    content = HELLO.encode()

    assert parse(b"\xef\xbb\xbf" + content).configuration == parse(content).configuration
    assert refusal(b"\xef\xbb\xbf" + b"nome = 1").startswith("docket.toml:1:1: nome: unknown key")


@pytest.mark.parametrize("key", ["at", "end"])
def test_a_schedule_that_is_over_is_warned_of(key: str) -> None:
    when = "" if key == "at" else 'every = "1m"\n'
    text = f'{HELLO}[schedules.old]\ntask = "hello"\n{when}{key} = MOMENT\n'

    (warning,) = parse(text.replace("MOMENT", "2020-01-01T00:00:00Z").encode()).warnings
    assert (
        warning.render()
        .splitlines()[0]
        .endswith(
            f"schedules.old.{key}: 2020-01-01T00:00:00+00:00 is past: nothing will be due; "
            "write a moment that is still to come, or remove the schedule"
        )
    )
    assert not parse(text.replace("MOMENT", "9999-01-01T00:00:00Z").encode()).warnings


def test_problems_are_values_in_the_order_of_the_file() -> None:
    with pytest.raises(ConfigurationInvalid) as caught:
        parse("[tasks.b]\n[tasks.a]\nfunction = 5\n", environ={"DOCKET_NAME": "\n"})
    assert [(p.line, p.column, p.path, p.variable) for p in caught.value.problems] == [
        (1, 1, ("tasks", "b"), ""),
        (3, 12, ("tasks", "a", "function"), ""),
        (0, 0, ("name",), "DOCKET_NAME"),
    ]
