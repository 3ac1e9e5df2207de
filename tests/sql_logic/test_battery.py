"""DataFusion and DuckDB give the same answers, but for the differences that the documentation names."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pytest

from heddle.frontend.prql.messages import FUNCTIONS
from tests.sql_logic.answers import Answer, Failed, Refused, answer, difference, write_tables
from tests.sql_logic.pages import Cases, all_cases, named_in_pages, names_with_reasons

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "engines.md"


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("battery")
    write_tables(folder)
    return folder


@pytest.mark.parametrize("cases", list(all_cases()), ids=lambda cases: cases.name)
def test_cases(cases: Cases, tables: Path) -> None:
    wrong = [
        f"{query}\n  {problem}" for query in cases.queries if (problem := _problem(cases, query, tables))
    ]
    assert not wrong, "\n".join(wrong)


def _problem(cases: Cases, query: str, tables: Path) -> str | None:
    """What is not as the page says."""
    left, right = answer(tables, query, "datafusion"), answer(tables, query, "duckdb")
    if isinstance(left, Refused):
        return f"DataFusion does not take it: {left.reason}"
    if cases.only is not None:
        return _of_refused(left, right)
    if isinstance(right, Refused):
        return f"DuckDB does not take it: {right.reason}"
    if cases.fails:
        return None if isinstance(left, Failed) and isinstance(right, Failed) else "an engine gives rows"
    if not isinstance(left, pa.Table) and not isinstance(right, pa.Table):
        return f"both fail: {left.message}"
    found = difference(left, right, ordered=cases.ordered, close=cases.close)
    if cases.differs is not None and not cases.close:
        return "the engines agree, which is no difference to accept" if found is None else None
    return found


def _of_refused(left: Answer, right: Answer) -> str | None:
    if not isinstance(right, Refused):
        return "DuckDB takes it"
    return None if isinstance(left, pa.Table) else f"DataFusion fails: {left}"


def test_the_reference_names_every_accepted_difference() -> None:
    page = REFERENCE.read_text()
    assert names_with_reasons(page, "Where answers may differ").keys() == named_in_pages("differs")


def test_the_reference_names_what_stays_on_datafusion() -> None:
    page = REFERENCE.read_text()
    assert names_with_reasons(page, "What stays on DataFusion").keys() == named_in_pages("only")


def test_a_reason_is_told_with_a_refusal(tables: Path) -> None:
    refused = answer(tables, "from plain | select {x = text.upper s}", "duckdb")
    assert isinstance(refused, Refused)
    assert "text.upper" in refused.reason


@pytest.mark.parametrize("function", FUNCTIONS)
def test_pages_try_every_function(function: str) -> None:
    used = re.compile(rf"(?<![\w.]){re.escape(function)}\b")
    assert any(used.search(query) for cases in all_cases() for query in cases.queries)
