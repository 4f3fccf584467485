from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from docket.config.checking.problems import ConfigurationInvalid
from docket.config.load import parse
from docket.config.model import Configuration

FILE = """
[tasks.SendEmail]
function = "shop.tasks:send_email"

[tasks."billing.charge"]
function = "shop.tasks:charge"

[schedules.often]
task = "SendEmail"
every = "5m"
kwargs = { limit = 3 }

[workers.default.env]
MODE = "a"
"""


def configured(**environ: str) -> Configuration:
    return parse(FILE, environ=environ).configuration


def refusal(file: str = FILE, **environ: str) -> str:
    with pytest.raises(ConfigurationInvalid) as caught:
        parse(file, environ=environ)
    return str(caught.value)


def test_a_variable_overrides_a_key_of_the_model() -> None:
    assert configured(DOCKET_URL="redis://db").url == "redis://db"


def test_a_variable_overrides_a_key_that_the_file_does_not_set() -> None:
    assert (
        configured(DOCKET_WORKERS__DEFAULT__CONCURRENCY="50").workers["default"].concurrency == 50
    )


def test_the_pool_that_exists_by_default_can_be_overridden() -> None:
    configuration = parse('name = "x"', environ={"DOCKET_WORKERS__DEFAULT__PROCESSES": "3"})
    assert configuration.configuration.workers["default"].processes == 3


def test_a_pool_that_the_file_replaces_is_unknown() -> None:
    assert "no key of the configuration has this variable" in refusal(
        "[workers.slow]\n", DOCKET_WORKERS__DEFAULT__PROCESSES="3"
    )


def test_a_name_in_mixed_case_is_found() -> None:
    tasks = configured(DOCKET_TASKS__SENDEMAIL__RETRY__ATTEMPTS="8").tasks
    assert tasks["SendEmail"].retry.attempts == 8
    assert list(tasks) == ["SendEmail", "billing.charge"]


def test_other_characters_of_a_name_are_underscores() -> None:
    tasks = configured(DOCKET_TASKS__BILLING_CHARGE__TIMEOUT="5s").tasks
    assert tasks["billing.charge"].timeout == timedelta(seconds=5)


def test_arrays_and_tables_are_written_as_in_toml() -> None:
    pool = configured(
        DOCKET_WORKERS__DEFAULT__QUEUES='["mail", "default"]',
        DOCKET_WORKERS__DEFAULT__ENV='{ LEVEL = "3" }',
    ).workers["default"]
    assert pool.queues == ("mail", "default")
    assert pool.env == {"MODE": "a", "LEVEL": "3"}


def test_strikes_are_set_as_a_whole() -> None:
    strikes = configured(DOCKET_STRIKES='[{ id = "a", task = "SendEmail" }]').strikes
    assert [strike.identity for strike in strikes] == ["a"]


def test_where_only_a_text_can_stand_a_number_is_a_text() -> None:
    configuration = configured(DOCKET_NAME="2026", DOCKET_WORKERS__DEFAULT__ENV__MODE="8080")
    assert configuration.name == "2026"
    assert configuration.workers["default"].env == {"MODE": "8080"}


def test_where_a_moment_stands_a_moment_is_read() -> None:
    often = configured(DOCKET_SCHEDULES__OFTEN__START="2026-12-01T00:00:00Z").schedules["often"]
    assert often.start == datetime(2026, 12, 1, tzinfo=timezone.utc)


def test_a_text_in_quotes_loses_them() -> None:
    assert configured(DOCKET_NAME='"2026"').name == "2026"


def test_an_argument_is_read_as_toml_else_as_a_text() -> None:
    assert configured(DOCKET_SCHEDULES__OFTEN__KWARGS__LIMIT="9").schedules["often"].kwargs == {
        "limit": 9
    }
    assert configured(DOCKET_SCHEDULES__OFTEN__KWARGS__LIMIT="all").schedules["often"].kwargs == {
        "limit": "all"
    }


def test_a_variable_can_not_smuggle_in_further_keys() -> None:
    assert configured(DOCKET_NAME='"a"\nurl = "redis://elsewhere"'.replace("\n", " ")).url is None
    kwargs = (
        configured(DOCKET_SCHEDULES__OFTEN__KWARGS__LIMIT="1\nother = 2").schedules["often"].kwargs
    )
    assert kwargs == {"limit": "1\nother = 2"}


def test_a_file_can_hold_the_value(tmp_path: Path) -> None:
    secret = tmp_path / "url"
    secret.write_text("redis://app:pw@db\n", "utf-8")
    assert configured(DOCKET_URL_FILE=str(secret)).url == "redis://app:pw@db"


def test_a_name_that_ends_in_file_is_not_taken_for_a_file() -> None:
    file = '[tasks.a_file]\nfunction = "a:b"\n[workers.default]\nenv = { CONFIG_FILE = "" }\n'
    environ = {"DOCKET_WORKERS__DEFAULT__ENV__CONFIG_FILE": "/etc/x"}
    assert parse(file, environ=environ).configuration.workers["default"].env == {
        "CONFIG_FILE": "/etc/x"
    }


def test_a_file_that_is_missing_is_named() -> None:
    assert refusal(DOCKET_URL_FILE="/nowhere/at/all") == (
        "DOCKET_URL_FILE: url: the file /nowhere/at/all that it names cannot be read:"
        " No such file or directory; correct the name or the permissions"
    )


def test_a_file_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    secret = tmp_path / "url"
    secret.write_bytes(b"\xff")
    assert refusal(DOCKET_URL_FILE=str(secret)) == (
        f"DOCKET_URL_FILE: url: the file {secret} that it names cannot be read: it is not UTF-8;"
        " correct the name or the permissions"
    )


def test_a_variable_and_its_file_together_are_refused() -> None:
    assert refusal(DOCKET_URL="redis://db", DOCKET_URL_FILE="/x") == (
        "DOCKET_URL_FILE: url: expected one of DOCKET_URL and DOCKET_URL_FILE, found both;"
        " unset one of them"
    )


def test_a_typo_is_an_error_with_a_suggestion() -> None:
    assert refusal(DOCKET_TASKS__SENDEMAIL__RETRY__ATEMPTS="8") == (
        "DOCKET_TASKS__SENDEMAIL__RETRY__ATEMPTS: no key of the configuration has this variable;"
        " did you mean DOCKET_TASKS__SENDEMAIL__RETRY__ATTEMPTS?"
    )


def test_a_variable_far_from_everything_is_an_error() -> None:
    assert refusal(DOCKET_QQQQQQQQQQ="8") == (
        "DOCKET_QQQQQQQQQQ: no key of the configuration has this variable;"
        " unset it, or name a key that the model or the file has"
    )


def test_a_whole_table_of_tables_can_not_be_set() -> None:
    assert refusal(DOCKET_SUPERVISOR="{}") == (
        "DOCKET_SUPERVISOR: supervisor is a table and cannot be set as a whole;"
        " set one of its keys, as in DOCKET_SUPERVISOR__NAME"
    )


def test_a_variable_that_means_two_keys_is_refused() -> None:
    file = 'tasks."a.b" = { function = "a:b" }\ntasks.a_b = { function = "a:b" }\n'
    assert refusal(file, DOCKET_TASKS__A_B__TIMEOUT="5s") == (
        "DOCKET_TASKS__A_B__TIMEOUT: expected a variable that means one key, found one that means"
        ' tasks."a.b".timeout, tasks.a_b.timeout; set these keys in the file'
    )


def test_a_wrong_value_names_the_variable() -> None:
    assert refusal(DOCKET_WORKERS__DEFAULT__CONCURRENCY="many") == (
        "DOCKET_WORKERS__DEFAULT__CONCURRENCY: workers.default.concurrency:"
        " expected a whole number, found a string that is not shown"
    )


def test_a_wrong_default_from_the_environment_is_told_once() -> None:
    assert refusal(DOCKET_DEFAULTS__TASK__TIMEOUT="soon") == (
        "DOCKET_DEFAULTS__TASK__TIMEOUT: defaults.task.timeout:"
        ' expected a duration such as "500ms", "90s" or "1h30m", found a string that is not shown'
    )


def test_a_task_that_the_environment_names_must_exist() -> None:
    assert refusal(DOCKET_SCHEDULES__OFTEN__TASK="gone") == (
        "DOCKET_SCHEDULES__OFTEN__TASK: schedules.often.task: expected a task of this file,"
        ' found a string that is not shown; tasks: SendEmail, "billing.charge"'
    )


@pytest.mark.parametrize(
    "variable", ["DOCKET_URL", "DOCKET_SECURITY__SIGNING_KEYS", "DOCKET_SECURITY__MAX_PAYLOAD"]
)
def test_a_value_from_the_environment_is_never_shown(variable: str) -> None:
    assert "hunter2" not in refusal(**{variable: "app:hunter2@db"})


def test_a_default_that_does_not_fit_a_variable_is_the_doing_of_the_variable() -> None:
    assert refusal(DOCKET_SUPERVISOR__RESTART__BACKOFF__MAX="100ms") == (
        "DOCKET_SUPERVISOR__RESTART__BACKOFF__MAX: supervisor.restart.backoff.initial:"
        " expected at most max (100ms), found 500ms"
    )


def test_an_empty_variable_counts_as_not_set() -> None:
    assert configured(DOCKET_URL="", DOCKET_NO_SUCH_THING="").url is None


@pytest.mark.parametrize(
    "variable",
    [
        "DOCKET_CONFIG",
        "DOCKET_SERVER",
        "DOCKET_TASKS",
        "DOCKET_LOGGING_LEVEL",
        "DOCKET_LOGGING_FORMAT",
        "DOCKET_FALLBACK_TASK",
        "DOCKET_REDIS_URL",
        "DOCKET_WORKER_CONCURRENCY",
        "DOCKETEER",
    ],
)
def test_variables_of_other_parts_are_left_alone(variable: str) -> None:
    assert configured(**{variable: "x"}) == configured()


@pytest.mark.parametrize(
    "variable",
    [
        "DOCKET_SERVICE_HOST",
        "DOCKET_SERVICE_PORT_HTTP",
        "DOCKET_PORT",
        "DOCKET_WEB_PORT_80_TCP_ADDR",
    ],
)
def test_variables_that_kubernetes_makes_of_service_names_are_left_alone(variable: str) -> None:
    assert configured(**{variable: "tcp://10.0.0.1:80"}) == configured()


def test_where_the_file_has_no_table_the_file_is_to_blame() -> None:
    assert refusal("workers = 3", DOCKET_WORKERS__DEFAULT__CONCURRENCY="5").startswith(
        "docket.toml:1:11: workers: expected a table, found 3\n"
    )
    assert refusal("supervisor = 3", DOCKET_SUPERVISOR__RELOAD__SETTLE="5s").startswith(
        "docket.toml:1:14: supervisor: expected a table, found 3\n"
    )


def test_a_part_of_a_value_that_is_no_table_stays_out() -> None:
    assert refusal(DOCKET_WORKERS__DEFAULT__ENV="3", DOCKET_WORKERS__DEFAULT__ENV__MODE="b") == (
        "DOCKET_WORKERS__DEFAULT__ENV: workers.default.env:"
        " expected a table, found a value that is not a string"
    )
