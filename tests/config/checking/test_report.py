"""Problems as text, as JSON and as annotations say the same."""

from __future__ import annotations

import json

from docket.config.checking.problems import Problem
from docket.config.checking.report import told

ERROR = Problem(
    "unknown key",
    ("tasks", "a", "timeuot"),
    'did you mean "timeout"?',
    "etc/docket, one.toml",
    3,
    5,
    excerpt="timeuot = …",
    caret=1,
)
VARIABLE = Problem("expected 100%,\nfound none", ("name",), variable="DOCKET_NAME")
FILE = Problem("the file is empty", file="docket.toml")


def test_nothing_to_tell_is_nothing() -> None:
    assert told(()) == told((), form="github") == ""


def test_text_shows_the_line_and_marks_warnings() -> None:
    assert told([ERROR], [FILE]) == (
        'etc/docket, one.toml:3:5: tasks.a.timeuot: unknown key; did you mean "timeout"?\n'
        "    timeuot = …\n    ^\n"
        "warning: docket.toml: the file is empty\n"
    )


def test_json_is_versioned_and_says_whether_the_configuration_is_valid() -> None:
    report = json.loads(told([ERROR], [VARIABLE], "json"))
    assert (report["version"], report["valid"]) == (1, False)
    assert report["problems"] == [
        {
            "severity": "error",
            "file": "etc/docket, one.toml",
            "line": 3,
            "column": 5,
            "variable": None,
            "path": "tasks.a.timeuot",
            "message": "unknown key",
            "suggestion": 'did you mean "timeout"?',
        },
        {
            "severity": "warning",
            "file": None,
            "line": None,
            "column": None,
            "variable": "DOCKET_NAME",
            "path": "name",
            "message": "expected 100%,\nfound none",
            "suggestion": None,
        },
    ]
    assert json.loads(told((), [FILE], "json"))["valid"] is True


def test_annotations_escape_what_has_a_meaning_there() -> None:
    assert told([ERROR, FILE], [VARIABLE], "github") == (
        "::error file=etc/docket%2C one.toml,line=3,col=5,title=tasks.a.timeuot::"
        'unknown key; did you mean "timeout"?\n'
        "::error file=docket.toml::the file is empty\n"
        "::warning title=name::DOCKET_NAME: expected 100%25,%0Afound none\n"
    )
