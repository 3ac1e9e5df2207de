"""What a run is asked to produce: the workflows and outputs of its options, as goals of the logical plan."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from heddle.diagnostics import did_you_mean
from heddle.errors import UsageError
from heddle.logical.lower import Goals

if TYPE_CHECKING:
    from heddle.engine import RunOptions
    from heddle.frontend.typed import ConfigData, TypedProgram


def goals_of(program: TypedProgram, options: RunOptions) -> Goals:
    """Raises `UsageError` for an unknown workflow or output, and for a file whose ending says no format."""
    for name in options.workflows:
        if name not in program.workflows:
            near = did_you_mean(name, tuple(program.workflows))
            help = f"did you mean `{near}`?" if near else f"it has: {', '.join(program.workflows) or 'none'}"
            raise UsageError(f"the program has no workflow `{name}`", help=help)
    outputs = {_full_name(program, name): _file_sink(path) for name, path in options.outputs.items()}
    return Goals(options.workflows, outputs, options.limit)


def _full_name(program: TypedProgram, name: str) -> str:
    known = [f"{w.name}.{o.name}" for w in program.workflows.values() for o in w.outputs]
    matches = [k for k in known if k == name or k.split(".", 1)[1] == name]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise UsageError(
            f"`{name}` is an output of several workflows",
            help=f"say which: {', '.join(matches)}",
        )
    near = did_you_mean(name, known + [k.split(".", 1)[1] for k in known])
    help = f"did you mean `{near}`?" if near else f"it has: {', '.join(known) or 'none'}"
    raise UsageError(f"the program has no output `{name}`", help=help)


FILE_FORMATS: Final = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".arrow": "arrow",
    ".feather": "arrow",
}


def _file_sink(path: str) -> tuple[str, Mapping[str, ConfigData]]:
    """A `--output` path is relative to the working directory; its ending names the format."""
    suffixes = [s for s in Path(path).suffixes if s not in {".gz", ".zst", ".bz2", ".xz"}]
    step = FILE_FORMATS.get(suffixes[-1].lower()) if suffixes else None
    if step is None:
        raise UsageError(
            f"`{path}` has no ending that says its format",
            help=f"use one of: {', '.join(FILE_FORMATS)}",
        )
    return step, {"path": str(Path(path).absolute())}
