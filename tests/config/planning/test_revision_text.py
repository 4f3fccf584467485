"""What is kept of a configuration is all that it says, but no secret."""

from __future__ import annotations

from pathlib import Path

import pytest
import tomli

from docket.config.load import meaning_of, parse
from docket.config.model import Configuration
from docket.config.planning.revision_text import kept, rebuilt, text_of
from docket.errors import ConfigurationError
from tests.config.test_cases import GOOD, named

PATH = Path("docket.toml")


@pytest.mark.parametrize("path", GOOD, ids=named)
def test_a_text_means_what_its_configuration_means(path: Path) -> None:
    configuration = parse(path.read_bytes()).configuration

    again = rebuilt(text_of(configuration), configuration, PATH)

    assert again.meaning == meaning_of(configuration)
    assert text_of(again.configuration) == text_of(configuration)


def test_a_configuration_that_says_nothing_is_an_empty_text() -> None:
    assert text_of(Configuration()) == ""


def test_every_kind_of_value_survives() -> None:
    configuration = parse(
        """
        [tasks.a]
        function = "shop:a"
        [schedules.s]
        task = "a"
        cron = "H * * * *"
        [schedules.s.kwargs]
        moment = 2026-01-02T03:04:05.5+01:00
        local = 2026-01-02T03:04:05
        day = 2026-01-02
        hour = 03:04:05
        whole = 7
        part = 1e300
        yes = true
        nothing = {}
        list = [1, [2, { "a b" = "c" }]]
        text = 'quote " back \\ tab	bell  smile 😀 ü'
        [supervisor.reload]
        max_removals = "12.5%"
        """
    ).configuration

    again = rebuilt(text_of(configuration), configuration, PATH).configuration

    assert again.schedules == configuration.schedules
    assert again == configuration.model_copy(update={"defaults": again.defaults})


def test_what_is_a_hosts_own_is_not_kept_and_comes_from_the_configuration_that_runs() -> None:
    own = '[logging]\nlevel = "{}"\n[supervisor]\nlisten = "127.0.0.1:{}"\ncontrol = "{}"\n'
    configuration = parse(own.format("debug", 1, "kept") + 'shutdown_timeout = "1s"').configuration
    present = parse(own.format("error", 2, "present")).configuration

    text = text_of(configuration)

    assert text == 'supervisor.shutdown_timeout = "1s"\n'
    again = rebuilt(text, present, PATH).configuration
    assert again.logging == present.logging
    assert (again.supervisor.port, again.supervisor.control) == (2, "present")
    assert again.supervisor.shutdown_timeout == configuration.supervisor.shutdown_timeout


def test_of_a_file_that_says_only_what_is_its_hosts_own_nothing_is_kept() -> None:
    configuration = parse('[logging]\nlevel = "debug"\n').configuration

    text = text_of(configuration)

    assert text == ""
    assert kept(text, PATH).meaning == rebuilt(text, configuration, PATH).meaning
    assert rebuilt(text, configuration, PATH).configuration.logging.level == "debug"


SECRETS = """
url = "redis://app:hunter2@db:6379/0"
[security]
signing_keys = { a = "file:/run/hunter2" }
[tasks.ping]
http = { url = "https://x.example/", headers = { Authorization = "hunter2" } }
[workers.default]
env = { TOKEN = "hunter2" }
secrets = { KEY = "env:hunter2" }
"""


def test_secrets_are_not_kept_and_come_from_the_configuration_that_runs() -> None:
    configuration = parse(SECRETS).configuration

    text = text_of(configuration)

    assert "hunter2" not in text
    assert tomli.loads(text)["url"] == "redis://***@db:6379/0"
    assert rebuilt(text, configuration, PATH).configuration == configuration


@pytest.mark.parametrize(
    "present",
    [
        Configuration(),
        parse(SECRETS.replace("db:6379", "other:6379")).configuration,
        parse(SECRETS.replace("TOKEN", "OTHER")).configuration,
    ],
)
def test_a_secret_that_nobody_knows_any_more_is_told_of(present: Configuration) -> None:
    text = text_of(parse(SECRETS).configuration)

    with pytest.raises(ConfigurationError, match="is a secret, which is not kept"):
        rebuilt(text, present, PATH)
