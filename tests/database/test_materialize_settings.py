"""`[serve.materialize]` in heddle.toml."""

from __future__ import annotations

from pathlib import Path

import pytest

from heddle.core.refresh_policy import RefreshPolicy
from heddle.diagnostics import Source
from heddle.project_file import read_project


def test_policies_by_output() -> None:
    text = """
[serve.materialize]
"Sales.totals" = "on start"
"Sales.hours" = "every 5m"
"Sales.days" = "manual"
"Sales.weeks" = true
"Sales.months" = false
"""
    project, found = read_project(Source("heddle.toml", text), Path("/p"))
    assert found == ()
    assert project.serve is not None
    assert project.serve.materialize == {
        "Sales.totals": RefreshPolicy("on start"),
        "Sales.hours": RefreshPolicy("every", 300.0),
        "Sales.days": RefreshPolicy("manual"),
        "Sales.weeks": RefreshPolicy("on start"),
        "Sales.months": None,
    }
    shown = [str(project.serve.materialize[f"Sales.{name}"]) for name in ("totals", "hours", "days")]
    assert shown == ["on start", "every 300 s", "manual"]


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ('"A.b" = "sometimes"', "HD0723", "`sometimes` does not say when `A.b` is refreshed"),
        ('"A.b" = "every day"', "HD0723", "`every day` does not say when `A.b` is refreshed"),
        ('"A.b" = "every 0s"', "HD0723", "`every 0s` does not say when `A.b` is refreshed"),
        ('totals = "manual"', "HD0723", "`totals` is not of the form `workflow.output`"),
        ('"Sales.totals" = 5', "HD0722", "`Sales.totals` is an int, where a string is expected"),
    ],
)
def test_what_is_wrong_is_told_at_its_place(line: str, code: str, message: str) -> None:
    text = f"[serve.materialize]\n{line}\n"
    _, (diagnostic,) = read_project(Source("heddle.toml", text), Path("/p"))
    assert (diagnostic.code, diagnostic.message) == (code, message)
    assert text.count("\n", 0, diagnostic.span.start) == 1
