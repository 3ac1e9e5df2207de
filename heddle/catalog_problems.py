"""What a catalog says of things that it cannot describe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from heddle.core.signature import StepSignature
from heddle.diagnostics import Diagnostic, did_you_mean
from heddle.frontend.catalog import CatalogProblem
from heddle.lockfile import FILE_NAME
from heddle.paths import shown_path

if TYPE_CHECKING:
    from heddle.sdk.loader import LoadProblem

UNANSWERED: Final = "HD0414"
"""A service could not be asked for columns."""

LOAD_CODES: Mapping[str, str] = {
    "missing": "HD0401",
    "syntax": "HD0402",
    "import": "HD0402",
    "registration": "HD0403",
    "namespace": "HD0404",
    "empty": "HD0405",
}


def missing(path: str, looked: list[str], known: list[str]) -> CatalogProblem:
    near = did_you_mean(path, known)
    places = " and ".join(looked)
    hint = f'did you mean "{near}"? ' if near else ""
    return CatalogProblem(
        "HD0401", "error", f'there is no module "{path}"', f"{hint}it was looked for in {places}"
    )


def load_problem(path: str, problem: LoadProblem) -> CatalogProblem:
    place = shown_path(problem.path) if problem.path.is_absolute() else str(problem.path)
    where = f"{place}:{problem.line}" if problem.line else place
    message = f'the module "{path}" cannot be loaded: {problem.message}'
    help = f"see {where}" + (f"; {problem.help}" if problem.help else "")
    return CatalogProblem(LOAD_CODES[problem.kind], "error", message, help)


def known_when_run(setting: str) -> CatalogProblem:
    return CatalogProblem(
        "HD0406",
        "warning",
        f"the columns are known only when the program runs, because `{setting}` is",
        "the checks that need them are made then; a `schema` here would allow them now",
        setting,
    )


def unknown_row(step: StepSignature) -> CatalogProblem:
    written = any(f.name == "schema" for f in step.config)
    cure = "; a `schema` here would name them" if written else ""
    asking = "; `heddle check --refresh` asks for them" if step.runnable else ""
    return CatalogProblem(
        "HD0409",
        "warning",
        f"the columns of this `{step.name}` are not known yet",
        f"they are checked when the program runs; {FILE_NAME} has no entry for it{asking}{cure}",
    )


def unanswered_row(step: StepSignature, reason: Diagnostic) -> CatalogProblem:
    """A run says itself which values it lacks; here that is only why the columns are not known."""
    if reason.code == UNANSWERED:
        return CatalogProblem(UNANSWERED, "warning", reason.message, "they are checked when the program runs")
    message = f"the columns of this `{step.name}` are not known yet"
    return CatalogProblem("HD0409", "warning", message, reason.message)
