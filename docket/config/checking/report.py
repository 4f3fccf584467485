"""The problems of a configuration, for people, for programs, and for the pages of a code review."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Literal, TypeAlias

from ..reading.keypath import dotted
from .problems import Problem

Format: TypeAlias = Literal["text", "json", "github"]
Severity: TypeAlias = Literal["error", "warning"]

VERSION = 1
"""Version of the JSON: a number that grows when something is taken away or changes its meaning."""


def told(errors: Iterable[Problem], warnings: Iterable[Problem] = (), form: Format = "text") -> str:
    """Write problems in the order in which they are given, errors first; secrets are in none of them.

    Arguments:
        errors: what makes the configuration unusable.
        warnings: what can be used but will surprise.
        form: ``text`` with carets, ``json``, or ``github`` for annotations of a workflow run.
    """
    found: list[tuple[Severity, Problem]] = [
        *(("error", problem) for problem in errors),
        *(("warning", problem) for problem in warnings),
    ]
    match form:
        case "text":
            return "".join(f"{_as_text(*one)}\n" for one in found)
        case "github":
            return "".join(f"{_as_annotation(*one)}\n" for one in found)
        case _:
            is_valid = all(severity == "warning" for severity, _ in found)
            problems = [_as_table(*one) for one in found]
            report = {"version": VERSION, "valid": is_valid, "problems": problems}
            return json.dumps(report, indent=2, ensure_ascii=False) + "\n"


def _as_text(severity: Severity, problem: Problem) -> str:
    return problem.render() if severity == "error" else f"warning: {problem.render()}"


def _as_table(severity: Severity, problem: Problem) -> dict[str, Any]:
    return {
        "severity": severity,
        "file": problem.file or None,
        "line": problem.line or None,
        "column": problem.column or None,
        "variable": problem.variable or None,
        "path": dotted(problem.path) or None,
        "message": problem.message,
        "suggestion": problem.suggestion or None,
    }


def _as_annotation(severity: Severity, problem: Problem) -> str:
    properties = {
        "file": problem.file,
        "line": problem.line,
        "col": problem.column,
        "title": dotted(problem.path) or problem.variable,
    }
    listed = ",".join(f"{key}={_quoted(str(value))}" for key, value in properties.items() if value)
    text = "; ".join(part for part in (problem.message, problem.suggestion) if part)
    text = f"{problem.variable}: {text}" if problem.variable else text
    return f"::{severity} {listed}::{_escaped(text)}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _quoted(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")
