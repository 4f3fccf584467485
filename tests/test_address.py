"""Where a docket is."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from docket import Docket
from docket.address import Address, embedded_url, find, read_secret
from docket.errors import ConfigurationError


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(directory: Path, text: str, name: str = "docket.toml") -> Path:
    file = directory / name
    file.write_text(text)
    return file


def test_nothing_said_means_the_default(directory: Path) -> None:
    assert find(environ={}) == Address("docket", "redis://localhost:6379/0")


def test_arguments_come_before_the_environment_and_that_before_the_file(directory: Path) -> None:
    write(directory, 'name = "file"\nurl = "redis://file/0"\n')
    environ = {"DOCKET_NAME": "environment", "DOCKET_URL": "redis://environment/0"}

    assert find(environ={}) == Address("file", "redis://file/0")
    assert find(environ=environ) == Address("environment", "redis://environment/0")
    assert find("argument", "redis://argument/0", environ=environ) == Address(
        "argument", "redis://argument/0"
    )


def test_a_file_without_a_url_means_the_embedded_server_beside_it(directory: Path) -> None:
    file = write(directory, 'name = "orders"\n')

    assert find(environ={}) == Address("orders", f"embedded://{directory}/.docket")
    assert find(environ={}).url == embedded_url(file)


def test_the_environment_may_name_the_file_and_hold_the_url_in_one(directory: Path) -> None:
    file = write(directory, 'name = "elsewhere"\n', "other.toml")
    secret = write(directory, "redis://:secret@host/0\n", "url")

    found = find(environ={"DOCKET_CONFIG": str(file), "DOCKET_URL_FILE": str(secret)})

    assert found == Address("elsewhere", "redis://:secret@host/0")


def test_the_file_says_what_all_who_use_the_docket_must_share(directory: Path) -> None:
    write(directory, "first\n", "key")
    file = write(
        directory,
        'url = "memory://shared"\nexecution_ttl = "5m"\n[security]\ncodecs = ["safe"]\n'
        'max_payload = "2KiB"\nsigning_keys = { a = "file:key", b = "env:SECOND", c = "third" }\n',
    )

    found = find(config=file, environ={"SECOND": "second"})

    assert found == Address(
        "docket",
        "memory://shared",
        timedelta(minutes=5),
        ("safe",),
        (("a", b"first"), ("b", b"second"), ("c", b"third")),
        2048,
    )


def test_a_docket_from_a_configuration_follows_it(directory: Path) -> None:
    file = write(directory, 'name = "n"\nurl = "memory://m"\n[security]\ncodecs = ["safe"]\n')

    docket = Docket.from_config(file, heartbeat_interval=timedelta(seconds=1))

    assert (docket.name, docket.url) == ("n", "memory://m")
    assert docket.serializer.codecs == ("safe",)
    assert docket.silence == timedelta(seconds=5)
    assert docket.execution_ttl == timedelta(minutes=15)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = \n", "docket.toml"),
        ("name = 5\n", "name: expected a text in quotes, found 5"),
        ('[security]\nsigning_keys = { a = "env:NOBODY" }\n', "NOBODY is not set"),
        (
            '[security]\nsigning_keys = { a = "file:nowhere" }\n',
            "can not read the secret file nowhere",
        ),
    ],
)
def test_a_file_that_can_not_be_used_is_told_of(directory: Path, text: str, message: str) -> None:
    write(directory, text)

    with pytest.raises(ConfigurationError, match=message):
        find(environ={})


def test_a_file_that_is_named_must_be_there(directory: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"expected a docket\.toml there"):
        find(config="nowhere.toml", environ={})


def test_a_secret_that_names_no_kind_is_itself(directory: Path) -> None:
    assert read_secret("a:b", {}, directory) == "a:b"


def test_included_files_overlays_and_the_profile_count(directory: Path) -> None:
    file, part, over = (directory / name for name in ("docket.toml", "a.part", "over.toml"))
    file.write_text(
        'include = ["*.part"]\nname = "file"\nsecurity.max_payload = 7\n[profiles.dev]\nname = "dev"\n'
    )
    part.write_text('execution_ttl = "1m"\n')
    over.write_text('url = "redis://over/0"\n[security]\ncodecs = ["safe"]\n')
    config = {"DOCKET_CONFIG": f"{file}{os.pathsep}{over}"}

    found = find(environ=config)
    chosen = find(environ={**config, "DOCKET_PROFILE": "dev"})

    assert (found.name, found.url) == ("file", "redis://over/0")
    assert (found.execution_ttl, found.codecs) == (timedelta(minutes=1), ("safe",))
    assert found.max_payload == 7
    assert chosen.name == "dev"
